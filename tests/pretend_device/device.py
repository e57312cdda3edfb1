"""A device that is none: PyTorch takes its tensors for those of an accelerator, and the CPU holds them.

It knows what a CPU forgives and an accelerator does not. Refused: tensors of two devices in one operation, a generator
of another device, and a fused operation on tensors that lie in memory in different orders (it goes through them as they
lie). Counted: what makes the host wait for the device, that is, values and copies that cross over, and results whose
size depends on values. After :func:`register` the process has the device ``pretend``.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretend"
PROJECT = Path(__file__).parents[2]
ROOMS = ("foundations", "models", "pruning", "training", "lottery", "stability", "experiments", "cli")
# In inference mode operations that consist of others (to, item) arrive as a whole.
COPIES, VALUES = ("copy_", "_to_copy", "to"), ("_local_scalar_dense", "item", "is_nonzero")
SIZED_BY_VALUES = ("nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount", "equal")
FUSED = ("_fused_", "_foreach_")


class Mixed(RuntimeError):
    """Tensors of two devices in one operation, or a generator of another device."""


class Misaligned(RuntimeError):
    """Tensors of one fused operation that lie in memory in different orders."""


class Waits:
    """When the host has waited for the device: how often, by function of the program and by reason."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def note(self, why: str) -> None:
        """One wait."""
        self.seen[f"{place(sys._getframe())}: {why}"] += 1

    @contextmanager
    def during(self) -> Iterator[Counter[str]]:
        """Those inside."""
        before, self.seen = self.seen, Counter()
        try:
            yield self.seen
        finally:
            self.seen = before


def place(frame: FrameType | None) -> str:
    """The innermost function of the program that is being called: ``room/file.py function``."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        name = frame.f_code.co_name
        inside = path.is_relative_to(PROJECT) and path.relative_to(PROJECT).parts[0] in ROOMS
        if inside and not name.startswith("<"):  # a comprehension is a function of its own up to Python 3.11
            return f"{path.relative_to(PROJECT).as_posix()} {name}"
        frame = frame.f_back
    return "outside the program"


class PretendTensor(Tensor):
    """A tensor on the device. ``held`` is a CPU tensor with its values, shape and strides."""

    held: Tensor
    is_cuda = True  # the program's own branches for an accelerator are taken here too
    waits: ClassVar[Waits] = Waits()
    library: ClassVar[torch.library.Library]  # it lasts as long as this

    @staticmethod
    def __new__(cls, held: Tensor) -> "PretendTensor":
        made: PretendTensor = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]  # not in the stubs
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=torch.device(NAME, 0), dispatch_sizes_strides_policy="sizes",
        )  # fmt: skip
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(func, args, kwargs or {})

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        """With its inverse: what makes a module exchange its parameters, instead of setting their data."""
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], context: None, size: Any, stride: Any) -> "PretendTensor":
        return PretendTensor(inner["held"])

    def __reduce_ex__(self, protocol: Any) -> Any:
        """In a file it is what ``torch.load(..., map_location="cpu")`` makes of an accelerator's."""
        self.waits.note("a copy to the host")
        return self.held.__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = torch.empty_strided(self.shape, self.stride(), dtype=self.dtype, device=self.device)
        copied = copied.copy_(self.detach())
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, requires_grad=self.requires_grad)
        memo[id(self)] = copied
        return copied

    def tolist(self) -> Any:
        """PyTorch has it for its own tensors only."""
        return self.cpu().tolist()

    def __repr__(self, **_: Any) -> str:
        return f"PretendTensor({tuple(self.shape)}, {self.dtype})"


def call(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation, computed on the CPU once all that an accelerator minds has been looked at."""
    name = func.overloadpacket.__name__
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    on_device = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, PretendTensor)}
    where = home(name, tensors, leaves)
    if name in COPIES:
        note_copy(tensors[-1], where)
    elif name in VALUES:
        PretendTensor.waits.note("a value")
    else:
        refuse_mixed(name, leaves, tensors)
        if name in SIZED_BY_VALUES or (name in ("index", "index_put_") and picks_by_bool(*args)):
            PretendTensor.waits.note("the size of a result")
        if name.startswith(FUSED):
            refuse_misaligned(name, args)

    held_args = tree_map(held, args)
    if name == "convolution_backward":  # channels-last, oneDNN corrupts memory where channels are few: its issue 6035
        held_args = [part.contiguous() if isinstance(part, Tensor) else part for part in held_args]
    result = func(*held_args, **tree_map(held, kwargs))
    if name == "to" and where != NAME:
        return result.clone()  # on a CPU it may be the same tensor

    def on_its_device(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or where != NAME:
            return leaf
        if id(leaf) in on_device:
            return on_device[id(leaf)]
        with torch.inference_mode(False):  # or a view of a tensor from outside could not be one of it
            return PretendTensor(leaf)

    return tree_map(on_its_device, result)


def held(leaf: Any) -> Any:
    """What the CPU is called with in its place."""
    if isinstance(leaf, PretendTensor):
        return leaf.held
    return torch.device("cpu") if isinstance(leaf, torch.device) and leaf.type == NAME else leaf


def home(name: str, tensors: Sequence[Tensor], leaves: Sequence[Any]) -> str:
    """The type of the device that an operation's result is on."""
    for leaf in leaves:
        if isinstance(leaf, torch.device):
            return leaf.type
    if name == "copy_":
        return tensors[0].device.type
    return NAME if any(isinstance(tensor, PretendTensor) for tensor in tensors) else "cpu"


def note_copy(source: Tensor, target: str) -> None:
    """Copies on the device wait for nothing; those from and to the host's memory, which is not pinned here, do."""
    match source.device.type, target:
        case "cpu", "pretend":
            PretendTensor.waits.note("a copy to the device")
        case "pretend", "cpu":
            PretendTensor.waits.note("a copy to the host")


def refuse_mixed(name: str, leaves: Sequence[Any], tensors: Sequence[Tensor]) -> None:
    """Single numbers may come from the CPU."""
    for leaf in leaves:
        if isinstance(leaf, torch.Generator) and leaf.device.type != NAME:
            raise Mixed(f"{name}: a generator on {leaf.device}")
    if any(isinstance(tensor, PretendTensor) for tensor in tensors):
        for tensor in tensors:
            if not isinstance(tensor, PretendTensor) and tensor.dim():
                raise Mixed(f"{name}: a tensor on {tensor.device} of shape {tuple(tensor.shape)}")


def picks_by_bool(tensor: Tensor, indices: Sequence[Tensor | None], values: Tensor | None = None, *_: Any) -> bool:
    """Whether it has to count what is true; setting a single number has not."""
    counts = any(index is not None and index.dtype == torch.bool for index in indices)
    return counts and (values is None or values.numel() > 1)


def refuse_misaligned(name: str, args: Sequence[Any]) -> None:
    """The n-th tensors of all its lists belong together."""
    lists = [part for part in args if isinstance(part, list | tuple) and part and isinstance(part[0], Tensor)]
    for together in zip(*lists, strict=False):
        strides = {tensor.stride() for tensor in together if tensor.shape == together[0].shape and tensor.dim()}
        if len(strides) > 1:
            raise Misaligned(f"{name}: strides {sorted(strides)} of tensors of shape {tuple(together[0].shape)}")


class Module(backend_registration._DummyBackendModule):
    """What lies at ``torch.pretend``."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        """What autocast asks for, even to be off."""
        return [torch.bfloat16]


def register() -> torch.device:
    """The device, of which PyTorch knows from now on; once in a process."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, Module())
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda func, *args, **kwargs: call(func, args, kwargs), "PrivateUse1")
    PretendTensor.library = library
    return torch.device(NAME)
