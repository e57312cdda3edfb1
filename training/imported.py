"""Somebody else's network as the beginning of a trunk: what ``import`` has written, read."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from foundations import files
from foundations.desc import Desc
from foundations.errors import UsageError, near_misses
from foundations.hparams import hp
from foundations.runner import read_desc
from foundations.steps import Step
from foundations.store import Store
from models import ModelHparams
from pruning import Mask
from training.data import DataHparams
from training.desc import TrainDesc


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
