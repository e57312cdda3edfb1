"""A run's directory, read without PyTorch: its parts, how far each has come, and its results."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from experiments.runs.metrics import furthest, lacking_points, whole_metrics
from experiments.runs.status import FAILED, RUNNING, Status, read_status
from foundations import files
from foundations.formats import DIVERGED, Row, digest
from foundations.registry import Registry
from foundations.steps import Step
from foundations.store import Store

ENVIRONMENT: Mapping[str, str] = {"root": "ADSYNFLOW_ROOT", "data_dir": "ADSYNFLOW_DATA"}


def directories_from_environment() -> dict[str, str]:
    """Return the directories that ``$ADSYNFLOW_ROOT`` and ``$ADSYNFLOW_DATA`` name, where they are set."""
    return {name: os.environ[variable] for name, variable in ENVIRONMENT.items() if os.environ.get(variable)}


@dataclass(frozen=True)
class State:
    """How far a training, level, branch or analysis has come."""

    word: str
    """One of :data:`WORST_FIRST`. ``collapsed``: no path is left, so it was not trained; ``trained``: a trunk whose
    state is saved where it has come to, maybe as far as was asked for; ``begun``: before the first step."""
    at: Step | None = None
    """The step of the last row of metrics, if there is one."""
    since: str = ""
    """When the task began that is running."""
    reason: str = ""
    """Why it failed, diverged or collapsed, in a line."""

    @property
    def text(self) -> str:
        """For people: ``interrupted at 3ep``, ``trained to 3ep``, ``running since 14:05``."""
        if self.word == "running" and self.since:
            return f"running since {self.since[11:16]}"
        if self.word in ("interrupted", "diverged", "trained") and self.at is not None:
            return f"{self.word} {'to' if self.word == 'trained' else 'at'} {self.at.short}"
        return self.word


WORST_FIRST = ("diverged", "collapsed", "failed", "interrupted", "trained", "begun", "running", "done")
"""The state of a run that is not running is that of the first of its parts in this order."""
SHOWN = (".json", ".jsonl", ".csv")
"""Files that are read to show results."""


class Fault(NamedTuple):
    """A file that is missing, or is not the one that was written."""

    file: Path
    what: str

    def __str__(self) -> str:
        return f"{self.file} {self.what}"


@dataclass(frozen=True)
class Part:
    """A training, level, branch or analysis within a run."""

    name: str
    """The path of its directory within the run's; empty for the run itself."""
    store: Store
    marker: str = files.DONE
    """The file that is written last."""
    held: tuple[Store, ...] = ()
    """Directories whose locks are held, too, by a process that works in it."""

    @property
    def done(self) -> bool:
        """Whether it has ended, and what its marker lists is there."""
        return self.store.complete(self.marker)

    def result(self) -> Row:
        return dict(self.store.read_json(self.marker))

    @property
    def children(self) -> list[Store]:
        """The trainings within: children of an analysis and the full network that they are compared with."""
        inner = [*numbered(self.store, files.CHILD), self.store.sub(files.FULL_NETWORK)]
        return [store for store in inner if store.path.is_dir()]

    @property
    def running(self) -> bool:
        if self.done:
            return False
        if any(store.locked for store in (self.store, *self.children)):
            return True
        status = self.status
        return status is not None and status.state == RUNNING and any(store.locked for store in self.held)

    @property
    def has_path(self) -> bool:
        """Whether its mask leaves a path from input to output."""
        return not self.store.has(files.SPARSITY_REPORT) or bool(
            self.store.read_json(files.SPARSITY_REPORT).get("has_path", True)
        )

    @property
    def why_collapsed(self) -> str:
        empty = ", ".join(self.store.read_json(files.SPARSITY_REPORT)["empty_layers"])
        return f"no path from input to output is left (empty: {empty or 'no layer'})"

    @property
    def last_rows(self) -> list[Row]:
        """The last row of metrics of each training, here and in its children.

        Raises:
            UsageError: metrics are damaged, or of a training that is not done they lack evaluations.
        """
        return [rows[-1] for store in (self.store, *self.children) if (rows := whole_metrics(store))]

    @cached_property
    def fault(self) -> Fault | None:
        """What is wrong with the files from which tables and figures are made; of networks and masks ``verify`` says.

        Raises:
            UsageError: its marker or its measurements are damaged, or a directory stands in a file's place.
        """
        if "/" in self.name and not self.store.has(files.DESC):
            return Fault(self.store / files.DESC, "is missing")
        if not self.done:
            return None
        for name, sha256 in self.store.parts(self.marker).items():
            if not name.endswith(SHOWN) or sha256 is None:
                continue
            with self.store.intact(name):
                content = self.store.read_bytes(name)
            if digest(content) != sha256:
                return Fault(self.store / name, f"is not the one that {self.marker} was written with")
        if self.marker == files.INSTABILITY and (lacking := lacking_points(self.store)):
            return Fault(self.store / files.INTERPOLATION, lacking)
        if self.store.has(files.MEASUREMENTS):
            self.store.read_json(files.MEASUREMENTS)
        return None

    @property
    def reached(self) -> Step | None:
        """The last step with a row of metrics, here or in one of its children, or with a saved state; None before."""
        saved = [step for path in self.store.path.glob("*") if (step := files.step_of_optimizer(path.name))]
        return furthest([*(Step(row["step"]) for row in self.last_rows), *saved])

    @property
    def status(self) -> Status | None:
        """What the last task here, or else in one of its children, has left."""
        found = [status for store in (self.store, *self.children) if (status := read_status(store)) is not None]
        return max(found, key=lambda status: status.since, default=None)

    @property
    def state(self) -> State:
        """How far it has come."""
        if self.done:
            return State("done")
        rows, status = self.last_rows, self.status
        at = self.reached
        if self.running:
            return State("running", at, since="" if status is None else status.since)
        if (diverged := furthest(Step(row["step"]) for row in rows if row.get(DIVERGED))) is not None:
            return State("diverged", diverged, reason=f"the loss was not finite at {diverged.short}")
        if at is None and not self.has_path:
            return State("collapsed", reason=self.why_collapsed)
        if status is not None and status.state == FAILED:
            return State("failed", at, reason=status.reason.partition("\n")[0])  # what follows is advice
        if at is None:
            return State("begun")
        return State("trained" if self.store.has(files.optimizer(at)) else "interrupted", at)


def numbered(run: Store, prefix: str) -> list[Store]:
    """Return the directories ``<prefix><n>`` by their numbers."""
    found = {path.name.removeprefix(prefix): path for path in run.path.glob(f"{prefix}*") if path.is_dir()}
    return [Store(found[number]) for number in sorted((name for name in found if name.isdecimal()), key=int)]


kinds: Registry[Callable[[Store], Iterator[Part]]] = Registry("kind of run")
"""What lists the parts of a run, by the first word of the names of their directories."""


@kinds.register("train")
@kinds.register("import")
def parts_of_training(run: Store) -> Iterator[Part]:
    yield Part("", run)


@kinds.register("lottery")
def parts_of_lottery(run: Store) -> Iterator[Part]:
    """Yield the levels, each with its branches behind it."""
    for level in numbered(run, files.LEVEL):
        yield Part(level.path.name, level)
        for path in sorted(level.path.iterdir()):
            if path.is_dir() and files.RUN_NAME.fullmatch(path.name):
                yield Part(f"{level.path.name}/{path.name}", Store(path), held=(level,))


@kinds.register("stability")
def parts_of_stability(run: Store) -> Iterator[Part]:
    """Yield the analyses by their k, and what criteria have found."""
    paths = [path for path in sorted(run.path.iterdir()) if path.is_dir()]
    analyses = [path for path in paths if re.fullmatch(f"{files.ANALYSIS}{files.STEP}", path.name)]
    for path in sorted(analyses, key=lambda path: Step(path.name.removeprefix(files.ANALYSIS)).order):
        yield Part(path.name, Store(path), files.INSTABILITY)
    for path in paths:
        if files.RUN_NAME.fullmatch(path.name) and ((path / files.SEARCH).exists() or (path / files.CURVE).exists()):
            yield Part(path.name, Store(path), files.SEARCH)


@dataclass(frozen=True, eq=False, repr=False)
class RunDirectory:
    """A run's directory, ``<root>/<kind>_<hash>/replicate_<n>``."""

    path: Path
    kind: str
    """``train``, ``import``, ``lottery`` or ``stability``."""
    replicate: int

    @property
    def store(self) -> Store:
        return Store(self.path)

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"

    @cached_property
    def hyperparameters(self) -> Mapping[str, Any]:
        """What the run depends on, as plain values; readable whatever plug-ins are loaded."""
        entries: Mapping[str, Any] = self.store.read_json(files.DESC)
        return {name: value for name, value in entries.items() if name != "kind"}

    @property
    def parts(self) -> list[Part]:
        """Its trainings, levels, branches or analyses, as far as they have been begun."""
        return list(kinds.get(self.kind)(self.store))

    @property
    def running(self) -> bool:
        return any(Store(path.parent).locked for path in self.path.rglob(files.LOCK))

    @property
    def state(self) -> str:
        """How far it has come, for people (see :class:`State`): that of the part that needs the most attention."""
        if self.running:
            return "running"
        states = [part.state for part in self.parts]
        return min(states, key=lambda state: WORST_FIRST.index(state.word), default=State("begun")).text

    @property
    def linked(self) -> bool:
        """Whether it lies elsewhere, and only a link to it below the root."""
        return self.path.is_symlink() or self.path.parent.is_symlink()

    @property
    def files(self) -> list[Path]:
        """Every file of the run, locks left out."""
        return sorted(path for path in self.path.rglob("*") if path.is_file() and not path.name.startswith(files.LOCK))


def directories(root: Path | str) -> list[RunDirectory]:
    """Return all directories of runs below a root that were begun, by kind, hash and replicate, in whatever state."""
    return [
        RunDirectory(run.path, kind_of(experiment.name) or "", int(run.path.name.removeprefix(files.REPLICATE)))
        for experiment in sorted(Path(root).glob("*_*"))
        if kind_of(experiment.name)
        for run in numbered(Store(experiment), files.REPLICATE)
        if any(not entry.name.startswith(".") for entry in run.path.iterdir())
    ]


def kind_of(name: str) -> str | None:
    """Return the kind of run whose experiments have directories of this name; None if it is none of ours."""
    kind = name.rpartition("_")[0]
    return kind if kind in kinds and files.RUN_NAME.fullmatch(name) else None
