"""Networks of other programs as the beginning of a trunk: their files, and what ``import`` has written."""

import io
import zipfile
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from foundations import files
from foundations.desc import Desc
from foundations.errors import UsageError, near_misses
from foundations.formats import digest, header_length
from foundations.given import read_given
from foundations.hparams import hp
from foundations.run import read_desc
from foundations.steps import Step
from foundations.store import Store
from models import ModelHparams
from pruning import Mask
from training.data import DataHparams
from training.hparams import TrainDesc

USUAL = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights")
"""Entries of larger checkpoints that usually hold the network: the first of these is taken where there are several."""
DEPTH = 3
"""How many dictionaries deep a network is looked for."""
SHOWN = 4
"""Names that a message lists of each kind."""


def read_checkpoint(path: Path, named: str = "") -> tuple[dict[str, Tensor], str]:
    """Read weights by name from a safetensors file or a state dict.

    The state dict may lie within a larger checkpoint. Objects beside it (settings, numbers of NumPy, ...) are passed
    over; no code in the file is run.

    Args:
        path: of the file.
        named: what the user called it by, for messages; ``--checkpoint=<path>`` if empty.

    Returns:
        The weights, and the first 12 hex digits of the file's sha256.

    Raises:
        UsageError: the file is missing, unreadable, or holds something else.
    """
    named = named or f"--checkpoint={path}"
    content = read_given(path, named)
    key = digest(content)[:12]
    try:
        header_length(content)  # refuses one that is too long
        return load(content), key
    except KeyError as error:
        raise UsageError(f"{named}: a tensor has the type {error}, which PyTorch does not have") from error
    except (SafetensorError, ValueError):
        pass
    try:
        value = decode_pickle(content)
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise UsageError(
            f"{named}: neither safetensors nor a plain state dict; save model.state_dict() alone by torch.save"
        ) from error
    return state_dict_in(value, named), key


class Opaque:
    """Stands for an object in a pickle whose class is not looked up."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Pass over the arguments."""

    def __setstate__(self, state: Any) -> None:
        """Pass over the state."""


class OpaqueDict(Opaque):
    """Stands for one that derives from dict."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return OrderedDict()


def decode_pickle(content: bytes) -> Any:
    """Return what ``torch.save`` wrote, on the CPU, with an :class:`Opaque` for every object that is not a plain value.

    Raises:
        ValueError: the bytes are something else, or compressed, which ``torch.save`` never does: what is in them may
            be larger than any memory.
    """
    file = io.BytesIO(content)
    foreign: list[str] = []
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(content):
                raise ValueError("it is larger than its file: PyTorch does not compress what it saves")
        foreign = get_unsafe_globals_in_checkpoint(io.BytesIO(content))
    for base in (Opaque, OpaqueDict):
        stand_ins: list[Any] = [
            (type(name, (Opaque if name.startswith("numpy") else base,), {}), name) for name in foreign
        ]
        try:
            with safe_globals(stand_ins):
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # the unpickler raises whatever the bytes lead it to
            failure = error
    raise ValueError(str(failure)) from failure


def state_dict_in(value: Any, named: str) -> dict[str, Tensor]:
    """Return the only state dict in what a file holds; raise ``UsageError`` if there is none, or several."""
    if isinstance(value, Mapping) and all(isinstance(tensor, Tensor) for tensor in value.values()):
        found = {"": value}
    else:
        found = dict(nested_state_dicts(value)) if isinstance(value, Mapping) else {}
    usual = [name for name in USUAL for place in found if place.split(".")[-1] == name] if len(found) > 1 else []
    chosen = [place for place in found if place.split(".")[-1] in usual[:1]] or list(found)
    if len(chosen) > 1:
        raise UsageError(f"{named}: it holds several networks, {', '.join(found)}; save one of them alone")
    if not chosen:
        raise UsageError(f"{named}: expected a state dict, tensors by name; {described(value)}")
    names = found[chosen[0]]
    if odd := [name for name in names if not isinstance(name, str)]:
        raise UsageError(f"{named}: expected a state dict, tensors by name; a name in it is {odd[0]!r}")
    return dict(names)


def nested_state_dicts(value: Mapping[Any, Any], place: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Any]]:
    """Yield the dictionaries of tensors within a checkpoint by their place; an optimizer's are none."""
    for name, entry in value.items():
        if not isinstance(name, str) or name.startswith("optim") or not isinstance(entry, Mapping):
            continue
        here = f"{place}.{name}".lstrip(".")
        if entry and all(isinstance(tensor, Tensor) for tensor in entry.values()):
            yield here, entry
        elif depth > 1:
            yield from nested_state_dicts(entry, here, depth - 1)


def described(value: Any) -> str:
    """Say what was found in the place of a state dict."""
    if isinstance(value, Opaque):
        return f"found a whole object, {type(value).__name__}: save its state_dict() where its class is known"
    if not isinstance(value, Mapping):
        return f"found {type(value).__name__}"
    odd = next((name for name, entry in value.items() if not isinstance(entry, Tensor)), None)
    return f"{odd!r} is {type(value[odd]).__name__}"


def load_weights(
    model: nn.Module, tensors: Mapping[str, Tensor], named: str = "--checkpoint", keep: Collection[str] = ()
) -> None:
    """Put the tensors into the model, each as the type that it has there.

    BatchNorm's counters of batches (``num_batches_tracked``) may be missing, and those that the model is to ``keep``.

    Raises:
        UsageError: names, shapes or types do not fit; the first of each are listed.
    """
    own = model.state_dict()
    missing = [name for name in own if not (name in tensors or name in keep or name.endswith("num_batches_tracked"))]
    unknown = [name for name in tensors if name not in own]
    unknown = [f"{name}{near_misses(name, missing)}" for name in unknown[:SHOWN]] + unknown[SHOWN:]
    shapes = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    types = [
        f"{name} {tensor.dtype}"
        for name, tensor in tensors.items()
        if name in own and not fits(tensor, own[name])
    ]
    found = {"missing": missing, "unknown": unknown, "of another shape": shapes, "of another type": types}
    if any(found.values()):
        lists = "; ".join(f"{what}: {listed(names)}" for what, names in found.items() if names)
        raise UsageError(f"{named} does not fit --model: {lists}")
    first: dict[int, str] = {}
    for name, tensor in tensors.items():
        other = first.setdefault(own[name].data_ptr(), name)
        if tensor.numel() and not torch.equal(tensors[other], tensor) and other != name:
            raise UsageError(f"{named} does not fit --model, in which {other} and {name} are one: they differ")
    model.load_state_dict(dict(tensors), strict=False)


def listed(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join([*names[:SHOWN], *more])


def fits(tensor: Tensor, own: Tensor) -> bool:
    """Return whether a tensor is a plain one of numbers of the same sort, of whatever precision."""
    same_sort = tensor.is_floating_point() == own.is_floating_point() and not tensor.is_complex()
    return same_sort and tensor.layout == own.layout and not tensor.is_meta and not tensor.is_quantized


@dataclass(frozen=True, kw_only=True)
class ImportDesc(Desc):
    """A network that was trained elsewhere, by its content."""

    kind: ClassVar[str] = "import"
    model: ModelHparams
    data: DataHparams
    weights: str
    """Digest of parameters and buffers under our names."""
    mask: str = ""
    """Digest of its mask; empty if it has none."""
    step: Step = hp(Step("0ep"))
    """The step of a training at which it stands."""


@dataclass(frozen=True, eq=False)
class Imported:
    store: Store

    @property
    def key(self) -> str:
        return self.store.path.parent.name

    @cached_property
    def desc(self) -> ImportDesc:
        return read_desc(self.store, ImportDesc)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Its parameters and buffers, not masked."""
        return self.store.read_tensors(self.store.result()["model"])

    @property
    def density(self) -> float:
        self._refuse_without_mask()
        return float(self.store.result()["density"])

    def load_into(self, model: nn.Module) -> None:
        """Make ``model`` this network, not masked."""
        with self.store.intact(self.store.result()["model"]):
            model.load_state_dict(self.tensors)

    def mask(self, model: nn.Module) -> Mask:
        """Return its mask; raise ``UsageError`` if it came without one."""
        self._refuse_without_mask()
        return Mask.load(self.store / files.MASK, model)

    def _refuse_without_mask(self) -> None:
        if not self.desc.mask:
            raise UsageError(f"--imported={self.key}: it came without a mask; give another --pruning_strategy")

    def check(self, desc: TrainDesc) -> None:
        """Raise ``UsageError`` if it is another network, or for other data, than those of a training."""
        for flag, own, asked in (
            ("model", self.desc.model.model, desc.model.model),
            ("dataset", self.desc.data.dataset, desc.data.dataset),
            ("normalization", self.desc.data.normalization, desc.data.normalization),
        ):
            if own != asked:
                raise UsageError(f"--{flag}={asked}: --imported={self.key} was imported with --{flag}={own}")


def find_imported(root: Path, key: str) -> Imported:
    """Return the network that was imported under ``key``; raise ``UsageError`` with those there are."""
    there = [path.name for path in sorted(root.glob(f"{ImportDesc.kind}_*")) if files.RUN_NAME.fullmatch(path.name)]
    found = Store(root / key / files.replicate(1))
    if key not in there or not found.done:
        valid = ", ".join(there) or f"none; `import` makes one below --root={root}"
        raise UsageError(f"--imported={key}: no such import{near_misses(key, there)}; valid: {valid}")
    return Imported(found)
