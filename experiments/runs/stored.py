"""A run's directory with its descriptor and its tickets, for which PyTorch is needed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from experiments.runs.directory import RunDirectory, directories, kind_of, kinds, numbered
from experiments.runs.rows import DAMAGED, result_rows
from foundations import files
from foundations.desc import Desc
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.run import read_desc
from foundations.seeds import Seeds
from foundations.store import Store
from lottery import LotteryDesc
from models import ImageShape, ModelHparams, build
from pruning import Mask
from stability import StabilityDesc
from training.hparams import TrainDesc
from training.imported import ImportDesc
from training.segments import load_network

DESCS: Mapping[str, type[Desc]] = {desc.kind: desc for desc in (TrainDesc, ImportDesc, LotteryDesc, StabilityDesc)}
"""What ``desc.json`` holds, by the kind of run."""


@dataclass(frozen=True, eq=False, repr=False)
class StoredRun(RunDirectory):
    """A run's directory, which can also build what is stored there."""

    def __repr__(self) -> str:
        try:
            state = self.state
        except UsageError:
            state = "damaged"
        return f"<StoredRun: {self.kind}, {state}, {self.path}>"

    @cached_property
    def desc(self) -> Desc:
        """What its result depends on; ``UsageError`` that names what is missing if a plug-in is not loaded."""
        try:
            return read_desc(self.store, DESCS[self.kind])
        except UsageError as error:
            raise UsageError(f"{self.path / files.DESC}: {error}\nIs a --plugin missing?") from error

    @property
    def readable(self) -> bool:
        """Whether its descriptor is there, and the plug-ins that it names are loaded."""
        try:
            return isinstance(self.desc, Desc)
        except (UsageError, OSError):
            return False

    @property
    def result(self) -> Row:
        """The result of a training; of other kinds one for each level, branch or k that is done, by its name."""
        results = {part.name: part.result() for part in self.parts if part.done}
        return results.get("", {}) if self.kind in ("train", "import") else results

    def rows(self) -> list[Row]:
        """Return the results, a plain dictionary for each part that is done, with what the run is.

        Raises:
            UsageError: a file of one of them is damaged.
        """
        about, done = {"kind": self.kind, "run": self.name}, [part for part in self.parts if part.done]
        rows = result_rows(self, [part.name for part in done]) if done else []
        return [
            {**about, "part": part.name, **({} if row["state"] == DAMAGED else part.result()), **row}
            for part, row in zip(done, rows, strict=True)
        ]

    @property
    def train(self) -> TrainDesc | None:
        """The dense training that it is, or stands on; None of an imported network."""
        return self.desc if isinstance(self.desc, TrainDesc) else getattr(self.desc, "train", None)

    def trunk_of(self, train: TrainDesc) -> Store:
        """Return the directory of the dense training that it depends on."""
        return Store(self.path.parent.parent / train.key / self.path.name)

    def ticket(self, level: int = 1) -> tuple[nn.Module, Mask]:
        """Return a level's trained subnetwork, in evaluation mode, and its mask.

        Raises:
            UsageError: this is no lottery run, the level is not done, or a plug-in is not loaded.
        """
        if self.kind != "lottery":
            raise UsageError(f"{self.path}: a {self.kind} run has no tickets; those of lottery have")
        here = self.store.sub(files.level(level))
        if not here.done:
            raise UsageError(f"{here.path}: level {level} is not done; call run() first")
        model = fresh_network(self.store.read_json(files.NETWORK), Seeds(self.replicate).generator(INITIALIZATION))
        weights = here / here.result()["model"]
        load_network(Store(weights.parent), weights.name, model)
        return model.eval(), Mask.load(here / files.MASK, model)


INITIALIZATION = "initialization"
"""The purpose of the random numbers from which a trunk's network is built."""


def fresh_network(network: Mapping[str, Any], generator: torch.Generator) -> nn.Module:
    """Return the architecture that ``network.json`` describes, before any training."""
    channels, height, width = network["input_shape"]
    shape = ImageShape(channels, height, width, len(network["class_names"]))
    return build(ModelHparams.from_dict(network["model"]), shape, generator)


def open(path: Path | str) -> StoredRun:
    """Return the run in a directory ``<root>/<kind>_<hash>/replicate_<n>``, whatever is left of it.

    Raises:
        UsageError: the directory is not that of a run.
    """
    path = Path(path)
    path = path if path.is_absolute() or len(path.parts) > 1 else path.resolve()
    kind = kind_of(path.parent.name)
    if kind is None or not files.REPLICATE_NAME.fullmatch(path.name) or not path.is_dir():
        raise UsageError(f"{path}: no run; expected <root>/<kind>_<hash>/replicate_<n> with kind {', '.join(kinds)}")
    return StoredRun(path, kind, int(path.name.removeprefix(files.REPLICATE)))


def runs_at(places: Sequence[str], root: str) -> list[StoredRun]:
    """Return the runs in directories of runs or experiments, or all below ``root`` if none are given.

    Raises:
        UsageError: a directory is neither, or there is no run.
    """
    found: list[StoredRun] = []
    for place in map(Path, places):
        is_experiment = place.is_dir() and kind_of(place.name)
        found += map(open, (run.path for run in numbered(Store(place), files.REPLICATE)) if is_experiment else [place])
    if not places and not Path(root).is_dir():
        raise UsageError(f"--root={root}: no such directory")
    found = found if places else runs(root)
    if not found:
        raise UsageError(f"--root={root}: no runs there; name their directories, or give another root")
    return found


def runs(root: Path | str) -> list[StoredRun]:
    """Return all runs below a root, by kind, hash and replicate; damaged ones too, even without a descriptor."""
    return [StoredRun(run.path, run.kind, run.replicate) for run in directories(root)]


def known_runs(stores: Iterable[Store]) -> list[StoredRun]:
    """Return the runs in some directories, each once, as far as they were begun."""
    paths = {store.path: store for store in stores}
    return [open(path) for path, store in paths.items() if store.has(files.DESC)]
