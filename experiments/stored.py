"""What lies in a run's directory: its kind, what it depends on, how far it has come, and what came of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from experiments.lottery import Lottery
from experiments.options import SessionOptions, directories_from_environment
from experiments.workspace import Workspace
from foundations import files
from foundations.desc import Desc
from foundations.errors import UsageError
from foundations.registry import Registry
from foundations.reporting import Reporter
from foundations.runner import read_desc
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc
from pruning import Mask
from stability import StabilityDesc
from training.desc import TrainDesc
from training.metrics import DIVERGED

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """A training, level, branch or analysis within a run.

    Args:
        name: the path of its directory within the run's; empty for the run itself.
        store: that directory.
        marker: the file that is written last.
    """

    name: str
    store: Store
    marker: str = files.DONE

    @property
    def done(self) -> bool:
        """Whether it has ended, and what its marker lists is there."""
        return self.store.complete(self.marker)

    def result(self) -> Row:
        """What the marker says."""
        result: Row = self.store.read_json(self.marker)
        return result

    @property
    def reached(self) -> Step | None:
        """The step of the last row of metrics, here or in one of its children; None before the first."""
        return furthest(self._last_rows)

    @property
    def diverged(self) -> Step | None:
        """The step at which a training, here or of one of its children, was given up; None if none was."""
        return furthest([row for row in self._last_rows if row.get(DIVERGED)])

    @property
    def _last_rows(self) -> list[Row]:
        """The last row of metrics of each training, here and in its children."""
        paths = [self.store.path, *sorted(self.store.path.glob(f"{files.CHILD}*")), self.store / files.FULL_NETWORK]
        return [rows[-1] for path in paths if (rows := Store(path).read_rows(files.METRICS))]


def furthest(rows: list[Row]) -> Step | None:
    """The latest step of rows of metrics; None if there are none."""
    return Step(max(rows, key=lambda row: row["iteration"])["step"]) if rows else None


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Args:
        desc: what its ``desc.json`` holds.
        parts: what lies in a directory of its kind.
    """

    desc: type[Desc]
    parts: Callable[[Store], Iterator[Part]]


kinds: Registry[Kind] = Registry("kind of run")
"""By the first word of the names of their directories."""


def register(name: str, desc: type[Desc]) -> Callable[[Callable[[Store], Iterator[Part]]], Any]:
    """Decorator of a function that lists the parts of a run."""

    def enter(parts: Callable[[Store], Iterator[Part]]) -> Callable[[Store], Iterator[Part]]:
        kinds.register(name)(Kind(desc, parts))
        return parts

    return enter


@register("train", TrainDesc)
def parts_of_train(run: Store) -> Iterator[Part]:
    """The training itself."""
    yield Part("", run)


@register("lottery", LotteryDesc)
def parts_of_lottery(run: Store) -> Iterator[Part]:
    """Levels, and their branches behind each."""
    for level in numbered(run, files.LEVEL):
        yield Part(level.path.name, level)
        for path in sorted(level.path.iterdir()):
            if (path / files.DESC).is_file() and not files.is_aside(path.name):
                yield Part(f"{level.path.name}/{path.name}", Store(path))


@register("stability", StabilityDesc)
def parts_of_stability(run: Store) -> Iterator[Part]:
    """The analyses by their k."""
    paths = [path for path in run.path.glob(f"{files.ANALYSIS}*") if path.is_dir() and not files.is_aside(path.name)]
    for path in sorted(paths, key=lambda path: Step(path.name.removeprefix(files.ANALYSIS)).order):
        yield Part(path.name, Store(path), files.INSTABILITY)


def numbered(run: Store, prefix: str) -> list[Store]:
    """The directories ``<prefix><n>`` by their numbers."""
    found = {path.name.removeprefix(prefix): path for path in run.path.glob(f"{prefix}*") if path.is_dir()}
    return [Store(found[number]) for number in sorted((name for name in found if name.isdecimal()), key=int)]


@dataclass(frozen=True, eq=False, repr=False)
class StoredRun:
    """A run's directory, read.

    Args:
        path: ``<root>/<kind>_<hash>/replicate_<n>``.
        kind: ``train``, ``lottery`` or ``stability``.
        replicate: the number.
    """

    path: Path
    kind: str
    replicate: int

    def __repr__(self) -> str:
        try:
            state = self.state
        except UsageError:
            state = "damaged"
        return f"<StoredRun: {self.kind}, {state}, {self.path}>"

    @property
    def store(self) -> Store:
        """The directory as the rest of the program knows it."""
        return Store(self.path)

    @cached_property
    def hyperparameters(self) -> Mapping[str, Any]:
        """What the run depends on, as plain values; readable whatever plug-ins are loaded."""
        entries: Mapping[str, Any] = self.store.read_json(files.DESC)
        return {name: value for name, value in entries.items() if name != "kind"}

    @cached_property
    def desc(self) -> Desc:
        """The same as hyperparameters; ``UsageError`` that names what is missing if a plug-in is not loaded."""
        try:
            return read_desc(self.store, kinds.get(self.kind).desc)
        except UsageError as error:
            raise UsageError(f"{self.path / files.DESC}: {error}\nIs a --plugin missing?") from error

    @property
    def readable(self) -> bool:
        """Whether the plug-ins that its descriptor names are loaded."""
        try:
            return isinstance(self.desc, Desc)
        except UsageError:
            return False

    @property
    def parts(self) -> list[Part]:
        """Its trainings, levels, branches or analyses, as far as they have been begun."""
        return list(kinds.get(self.kind).parts(self.store))

    @property
    def running(self) -> bool:
        """Whether a process works in it at this moment."""
        return any(Store(path.parent).locked for path in self.path.rglob(files.LOCK))

    @property
    def state(self) -> str:
        """``done``, ``running``, ``interrupted at 3ep``, ``diverged at 3ep``, ``begun`` before its first step.

        A trunk whose whole state is saved where it has come to is ``trained to 3ep``: no more was asked for, maybe.
        """
        if self.running:
            return "running"
        left = [part for part in self.parts if not part.done]
        if self.parts and not left:
            return "done"
        diverged = [step for part in left if (step := part.diverged) is not None]
        if diverged:
            return f"diverged at {diverged[0].short}"
        reached = [(step, part) for part in left if (step := part.reached) is not None]
        if not reached:
            return "begun"
        step, part = reached[0]
        return f"{'trained to' if part.store.has(files.optimizer(step)) else 'interrupted at'} {step.short}"

    @property
    def result(self) -> Row:
        """What has come of it: the training's result, or one for each level, branch or k that is done, by its name."""
        results = {part.name: part.result() for part in self.parts if part.done}
        return results.get("", {}) if self.kind == "train" else results

    @property
    def files(self) -> list[Path]:
        """Every file of the run, locks left out."""
        return sorted(path for path in self.path.rglob("*") if path.is_file() and path.name != files.LOCK)

    def rows(self) -> list[Row]:
        """The results, a plain dictionary for each part that is done, with what the run is."""
        about = {"kind": self.kind, "run": f"{self.path.parent.name}/{self.path.name}", "replicate": self.replicate}
        return [{**about, "part": part.name, **part.result()} for part in self.parts if part.done]

    def ticket(self, level: int = 1, session: Workspace | None = None) -> tuple[nn.Module, Mask]:
        """A level's trained subnetwork, in evaluation mode, and its mask.

        Args:
            level: of a lottery run.
            session: where the data set is, whose images give the network its shape; by default as the directories
                say: the root that the run lies in, and the default data directory.

        Raises:
            UsageError: it is no lottery run, the level is not done, or a plug-in is not loaded.
        """
        if not isinstance(self.desc, LotteryDesc):
            raise UsageError(f"{self.path}: a {self.kind} run has no tickets; those of lottery have")
        session = session or Workspace(options_for(self.path.parent.parent), Reporter())
        return Lottery(session=session, replicate=self.replicate, desc=self.desc, levels=(level,)).ticket(level)


def options_for(root: Path) -> SessionOptions:
    """Where runs below ``root`` and the data sets lie."""
    default = SessionOptions.data_dir
    return SessionOptions(root=str(root), data_dir=directories_from_environment().get("data_dir", default))


def open(path: Path | str) -> StoredRun:
    """The run in a directory ``<root>/<kind>_<hash>/replicate_<n>``; ``UsageError`` if it is none."""
    path = Path(path)
    kind, number = path.parent.name.rpartition("_")[0], path.name.removeprefix(files.REPLICATE)
    if kind not in kinds or not number.isdecimal() or not (path / files.DESC).is_file():
        raise UsageError(f"{path}: no run; expected <root>/<kind>_<hash>/replicate_<n> with kind {', '.join(kinds)}")
    return StoredRun(path, kind, int(number))


def runs(root: Path | str) -> list[StoredRun]:
    """All runs below a root, by kind, hash and replicate."""
    found = []
    for experiment in sorted(path for path in Path(root).glob("*_*") if path.name.rpartition("_")[0] in kinds):
        found += [open(run.path) for run in numbered(Store(experiment), files.REPLICATE) if run.has(files.DESC)]
    return found
