"""The rows of a study: what came of its experiments, and where each number is from."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.studies.study import Part, Study
from experiments.define.experiment import Experiment
from experiments.define.grid import Grid
from experiments.report.collect import curves
from experiments.runs.metrics import iterations_per_epoch
from experiments.session import Session
from foundations import files
from foundations.environment import environments
from foundations.store import Store

RESULTS = Path(__file__).parents[2] / "docs" / "results"
STABILITY = "stability"

METHOD = ("title", "k", "level", "density", "replicate")
"""What makes a row one of its own: a method, where it prunes, how much, and the replicate."""
WHENCE = ("key", "commit", "torch", "processor", "threads", "date")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A file of rows."""

    suffix: str
    """Of the file's name, after that of the study."""
    values: tuple[str, ...]
    """Columns beside those that say of what and whence."""
    within: tuple[str, ...] = ()
    """Columns that tell rows of one method and replicate apart."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All of the file."""
        return (*METHOD, *self.within, *self.values, *WHENCE)

    def file_of(self, study: Study, directory: Path = RESULTS) -> Path:
        """Where the rows are kept."""
        return directory / f"{study.name}{self.suffix}.csv"

    def identity(self, row: Row) -> tuple[str, ...]:
        """A row with the same stands for the same measurement."""
        return tuple(str(row[name]) for name in (*METHOD, *self.within))


ACCURACIES = Kind("", ("test_accuracy", "test_loss", "train_accuracy", "effective_density", "state"))
BARRIERS = Kind("-stability", (
    "pairs", "threshold", "test_error_barrier_raw", "test_error_barrier_low", "test_error_barrier_high",
    "test_error_barrier_recalculated", "test_error_barrier_aligned", "test_error_barrier_aligned_recalculated",
    "train_error_barrier_raw", "child_accuracy", "full_network_accuracy", "accuracy_gap", "stable",
))  # fmt: skip
TRAININGS = Kind("-training", ("test_accuracy",), within=("epoch",))
"""Accuracy over the training of the methods that a study follows."""
KINDS = (ACCURACIES, BARRIERS, TRAININGS)


def found(study: Study, session: Session) -> dict[Kind, list[Row]]:
    """The rows of all experiments of a study that are done, by kind."""
    rows: dict[Kind, list[Row]] = {kind: [] for kind in KINDS}
    for part in study.parts:
        kind = BARRIERS if part.command == STABILITY else ACCURACIES
        for experiment in grid_of(part, session):
            own = [row_of(part, experiment, row) for row in experiment.rows() if is_result(part, experiment)]
            rows[kind] += own
            if kind is ACCURACIES and part.title in study.followed:
                rows[TRAININGS] += [one for row in own for one in training_of(row)]
    return rows


def grid_of(part: Part, session: Session) -> Grid:
    """The experiments of a part."""
    return Grid.of(session, part.command, part.flags, part.branch)


def is_result(part: Part, experiment: Experiment) -> bool:
    """A training has rows before it is done: those of its last epoch."""
    return part.command != "train" or experiment.store.done


def row_of(part: Part, experiment: Experiment, row: Mapping[str, Any]) -> Row:
    """A row of an experiment with what its numbers rest on."""
    about = {"title": part.title, "k": "", "level": "", "density": 1.0, "effective_density": "", "state": "done"}
    return {**about, **{name: value for name, value in row.items() if value is not None}, **whence(experiment, row)}


def training_of(row: Row) -> list[Row]:
    """A row for each evaluation of the training that a row is the end of."""
    store = Store(Path(row["path"]))
    return [{**row, **point} for point in curves(store, iterations_per_epoch(store))]


def whence(experiment: Experiment, row: Mapping[str, Any]) -> Row:
    """Commits, versions and processors that it was computed with, as its directory records them; and when it ended."""
    recorded = environments(experiment.store.read_json(files.ENVIRONMENT))
    marker = next(path for name in (files.DONE, files.INSTABILITY) if (path := Path(row["path"]) / name).exists())
    return {
        "commit": each(str(one.get("commit"))[:7] for one in recorded),
        "torch": each(one.get("packages", one).get("torch") for one in recorded),
        "processor": each(one.get("cpu") for one in recorded),
        "threads": each(one.get("threads") for one in recorded),
        "date": datetime.fromtimestamp(marker.stat().st_mtime, UTC).strftime("%Y-%m-%d"),
    }


def each(values: Iterable[Any]) -> str:
    """What is there, each once, in this order."""
    return "; ".join(dict.fromkeys(str(value) for value in values if value is not None))


def write(study: Study, session: Session, directory: Path = RESULTS) -> None:
    """Writes the rows that there are, together with those of other machines that the files hold already."""
    for kind, rows in found(study, session).items():
        place, names = kind.file_of(study, directory), kind.columns
        order = {part.title: number for number, part in reversed([*enumerate(study.parts)])}
        everything: dict[tuple[str, ...], Row] = {kind.identity(row): row for row in read(place)}
        for row in rows:  # what an older program did not record may stand in the file
            everything[kind.identity(row)] = {**everything.get(kind.identity(row), {}), **said(row)}
        if everything:
            ranked = sorted(everything.values(), key=lambda row: order.get(row["title"], len(order)))
            text = io.StringIO()
            table = csv.DictWriter(text, names, restval="", extrasaction="ignore", lineterminator="\n")
            table.writeheader()
            table.writerows(ranked)
            place.parent.mkdir(parents=True, exist_ok=True)
            Store(place.parent).write_bytes(place.name, text.getvalue().encode())


def said(row: Row) -> Row:
    """Its entries that are not empty."""
    return {name: value for name, value in row.items() if value != ""}


def read(place: Path) -> list[dict[str, str]]:
    """The rows of a file; none if it is not there."""
    return list(csv.DictReader(io.StringIO(place.read_text()))) if place.exists() else []
