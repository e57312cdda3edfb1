"""Trackers: TensorBoard, Weights & Biases, or one that a plug-in brings.

    @trackers.register("my_tracker")
    class MyTracker(Tracker):
        def row(self, row): ...
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from experiments.runs.rows import flat, leaves, named
from foundations import files
from foundations.errors import UsageError
from foundations.registry import Registry
from foundations.reporting import Event, Left, Reporter, RowAdded
from foundations.store import Store


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A training, or an analysis, whose metrics are tracked.

    Args:
        root: the directory of all runs.
        name: its path below the root: ``lottery_<hash>/replicate_1/level_1``.
        hyperparameters: by the names of their flags; with those of its branch, and the replicate.
    """

    root: Path
    name: str
    hyperparameters: Mapping[str, Any]

    def directory(self, tracker: str) -> Path:
        """Return where a tracker that writes files may write them."""
        return self.root / files.TRACKED / tracker / self.name


class Tracker:
    """Records one run. Override the methods that the tracker supports.

    One is made when a run gets its first row of metrics, or is gone on with. It is given all rows that there are, those
    of earlier processes first, so that it may begin anew with what it shows.
    """

    package: ClassVar[str] = ""
    """What must be installed, by the name it is imported by."""
    extra: ClassVar[str] = ""
    """The extra of this program that installs it."""

    def __init__(self, run: TrackedRun) -> None:
        self.run = run

    def row(self, row: Mapping[str, Any]) -> None:
        """Record a row of ``metrics.jsonl``: step, iteration, and losses and accuracies, which are numbers or None."""

    def finish(self, figures: Mapping[str, float]) -> None:
        """Record the final numbers by name, those of nested entries as ``error_barrier/test/raw``."""

    def close(self) -> None:
        """End: this process sends nothing more."""


trackers: Registry[type[Tracker]] = Registry("tracker", "track")


@trackers.register("tensorboard")
class TensorBoard(Tracker):
    """Event files in ``<root>/tracked/tensorboard/<run>``; those of an earlier process are rewritten."""

    package, extra = "tensorboard", "track"

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(run)
        directory = run.directory("tensorboard")
        for old in directory.glob("events.out.tfevents.*"):
            old.unlink()
        self.writer = SummaryWriter(str(directory))
        table = [f"| {name} | {value} |" for name, value in run.hyperparameters.items()]
        self.writer.add_text("hyperparameters", "\n".join(["| name | value |", "|---|---|", *table]))

    def row(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if name != "iteration" and isinstance(value, (int, float)):
                self.writer.add_scalar(name, value, row["iteration"])
        self.writer.flush()

    def finish(self, figures: Mapping[str, float]) -> None:
        plain = {
            name: value if isinstance(value, (bool, int, float, str)) else str(value)
            for name, value in self.run.hyperparameters.items()
        }
        final = {f"final/{name}": value for name, value in figures.items()}
        self.writer.add_hparams(plain, final, run_name=".")

    def close(self) -> None:
        self.writer.close()


@trackers.register("wandb")
class WeightsAndBiases(Tracker):
    """A run of the project ``adsynflow``; its id follows from the path, so that a resumed run continues there."""

    package, extra = "wandb", "wandb"

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        super().__init__(run)
        directory = run.root / files.TRACKED / "wandb"
        directory.mkdir(parents=True, exist_ok=True)
        self.wandb = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "adsynflow"), name=run.name, group=run.name.partition("/")[0],
            id=hashlib.sha256(f"{run.root.resolve()}/{run.name}".encode()).hexdigest()[:16],
            config=dict(run.hyperparameters), dir=str(directory), resume="allow", reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )  # fmt: skip

    def row(self, row: Mapping[str, Any]) -> None:
        self.wandb.log({name: value for name, value in row.items() if value is not None}, step=row["iteration"])

    def finish(self, figures: Mapping[str, float]) -> None:
        self.wandb.summary.update({f"final/{name}": value for name, value in figures.items()})

    def close(self) -> None:
        self.wandb.finish()


class TrackingReporter(Reporter):
    """Gives trackers the metrics of trainings as they are written, and the results of what has ended.

    A tracker that fails is given up with a warning: the run does not depend on it.

    Args:
        names: of the trackers.
        root: the directory of all runs.
        warning: takes that warning.

    Raises:
        UsageError: an unknown tracker, or one whose package is not installed.
    """

    def __init__(self, names: Sequence[str], root: Path, warning: Callable[[str], None]) -> None:
        for name in names:
            tracker = trackers.get(name)
            if tracker.package and find_spec(tracker.package) is None:
                what = f"adsynflow[{tracker.extra}]" if tracker.extra else tracker.package
                raise UsageError(f"--track={name}: {tracker.package} is not installed; pip install '{what}'")
        self.names, self.root, self.warning = list(names), root, warning
        self.open: dict[Path, list[Tracker]] = {}
        self.given: dict[Path, int] = {}

    def hear(self, event: Event) -> None:
        match event:
            case RowAdded(path):
                self.feed(path)
            case Left(path):
                self.finish(path)

    def finish(self, path: Path) -> None:
        """Give the trackers of a directory its results, if it has come to any, and close them."""
        store = Store(path)
        result = final(store)
        if result:
            self.feed(path)
        for tracker in self.open.pop(path, []):
            if result:
                self.attempt(tracker, tracker.finish, result)
            self.attempt(tracker, tracker.close)
        self.given.pop(path, None)

    def feed(self, path: Path) -> None:
        """Give the trackers of a directory the rows that they have not had."""
        if path not in self.open:
            self.open[path] = []
            for name in self.names:
                self.attempt(name, self.add, path, name)
        rows = Store(path).read_rows(files.METRICS)
        for row in rows[self.given.get(path, 0) :]:
            for tracker in list(self.open[path]):
                self.attempt(tracker, tracker.row, row)
        self.given[path] = len(rows)

    def add(self, path: Path, name: str) -> None:
        self.open[path].append(trackers.get(name)(tracked_run(path, self.root)))

    def attempt(self, tracker: Tracker | str, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:  # of somebody else's package, or of a network
            name = tracker if isinstance(tracker, str) else type(tracker).__name__
            self.warning(f"The tracker {name} failed and is left out: {type(error).__name__}: {error}")
            for others in self.open.values():
                if tracker in others:
                    others.remove(tracker)


def tracked_run(path: Path, root: Path) -> TrackedRun:
    """Return the run in a directory, with the hyperparameters of the directories that it lies in."""
    name = path.relative_to(root)
    hyperparameters: dict[str, Any] = {}
    for folder in [*reversed(name.parents), name]:
        store = Store(root / folder)
        if store.has(files.DESC):
            entries = store.read_json(files.DESC)
            hyperparameters |= named(flat({key: value for key, value in entries.items() if key != "kind"}))
    replicate = next((part for part in name.parts if part.startswith(files.REPLICATE)), "")
    hyperparameters["replicate"] = int(replicate.removeprefix(files.REPLICATE) or 0)
    return TrackedRun(root=root, name=name.as_posix(), hyperparameters=hyperparameters)


def final(store: Store) -> dict[str, float]:
    """Return the numbers among the entries of a marker, by the names that lead to them."""
    for marker in (files.INSTABILITY, files.DONE):
        if store.has(marker):
            entries = leaves(store.read_json(marker))
            return {"/".join(names): float(value) for names, value in entries if isinstance(value, (bool, int, float))}
    return {}
