"""Networks of other programs as the beginning of a trunk: their files, and what ``import`` has written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from foundations import files
from foundations.desc import Desc
from foundations.errors import UsageError, near_misses
from foundations.formats import digest
from foundations.hparams import hp
from foundations.run import read_desc
from foundations.steps import Step
from foundations.store import Store
from foundations.tensors import check_header, decode_pickle
from models import ModelHparams
from pruning import Mask
from training.data import DataHparams
from training.hparams import TrainDesc

NESTED = ("state_dict", "model_state_dict", "model")
"""Entries of larger checkpoints that hold the state dict."""
SHOWN = 4
"""Names that a message lists of each kind."""


def read_checkpoint(path: Path, named: str = "") -> tuple[dict[str, Tensor], str]:
    """Weights by name from a safetensors file or a plain state dict, and the first 12 hex digits of its sha256.

    A state dict may lie within a larger checkpoint, under a key of ``NESTED``. No code in it is run.

    Args:
        path: of the file.
        named: what the user called it by, for messages; ``--checkpoint=<path>`` if empty.

    Raises:
        UsageError: the file is missing, unreadable, or holds something else.
    """
    named = named or f"--checkpoint={path}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{named}: {error.strerror or error}") from error
    key = digest(content)[:12]
    try:
        check_header(content)
        return load(content), key
    except KeyError as error:
        raise UsageError(f"{named}: a tensor has the type {error}, which PyTorch does not have") from error
    except (SafetensorError, ValueError):
        pass
    try:
        value = decode_pickle(content)
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise UsageError(f"{named}: neither safetensors nor a plain state dict") from error
    for name in NESTED:
        if isinstance(value, Mapping) and isinstance(value.get(name), Mapping):
            value = value[name]
    if not isinstance(value, Mapping):
        raise UsageError(f"{named}: expected a state dict, tensors by name; found {type(value).__name__}")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            found = f"{name!r} is {type(tensor).__name__}"
            raise UsageError(f"{named}: expected a state dict, tensors by name; {found}")
    return dict(value), key


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], named: str = "--checkpoint") -> None:
    """Puts the tensors into the model, each as the type that it has there.

    BatchNorm's counters of batches (``num_batches_tracked``) may be missing.

    Raises:
        UsageError: names, shapes or types do not fit; the first of each are listed.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
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
    model.load_state_dict(dict(tensors), strict=False)


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join([*names[:SHOWN], *more])


def fits(tensor: Tensor, own: Tensor) -> bool:
    """Whether a tensor is a plain one of numbers of the same sort, of whatever precision."""
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
    """An imported network, in its directory."""

    store: Store

    @property
    def key(self) -> str:
        """Its name below the root."""
        return self.store.path.parent.name

    @cached_property
    def desc(self) -> ImportDesc:
        """What it is."""
        return read_desc(self.store, ImportDesc)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Its parameters and buffers, not masked."""
        return self.store.read_tensors(self.store.result()["model"])

    @property
    def density(self) -> float:
        """What its mask keeps; ``UsageError`` if it came without one."""
        self._refuse_without_mask()
        return float(self.store.result()["density"])

    def load_into(self, model: nn.Module) -> None:
        """Makes ``model`` this network, not masked."""
        with self.store.intact(self.store.result()["model"]):
            model.load_state_dict(self.tensors)

    def mask(self, model: nn.Module) -> Mask:
        """Its mask, of ``model``; ``UsageError`` if it came without one."""
        self._refuse_without_mask()
        return Mask.load(self.store / files.MASK, model)

    def _refuse_without_mask(self) -> None:
        if not self.desc.mask:
            raise UsageError(f"--imported={self.key}: it came without a mask; give another --pruning_strategy")

    def check(self, desc: TrainDesc) -> None:
        """Raises ``UsageError`` if it is another network, or for other data, than those of a training."""
        for flag, own, asked in (
            ("model", self.desc.model.model, desc.model.model),
            ("dataset", self.desc.data.dataset, desc.data.dataset),
        ):
            if own != asked:
                raise UsageError(f"--{flag}={asked}: --imported={self.key} was imported with --{flag}={own}")


def find_imported(root: Path, key: str) -> Imported:
    """The network that was imported under ``key``; ``UsageError`` with those that there are if there is none."""
    there = [path.name for path in sorted(root.glob(f"{ImportDesc.kind}_*")) if files.RUN_NAME.fullmatch(path.name)]
    found = Store(root / key / files.replicate(1))
    if key not in there or not found.done:
        valid = ", ".join(there) or f"none; `import` makes one below --root={root}"
        raise UsageError(f"--imported={key}: no such import{near_misses(key, there)}; valid: {valid}")
    return Imported(found)
