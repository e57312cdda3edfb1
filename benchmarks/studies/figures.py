"""The figures of studies, drawn from their rows as reports draw those of runs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.studies.rows import ACCURACIES, BARRIERS, RESULTS, TRAININGS, read
from benchmarks.studies.study import Study
from experiments.report.collect import BY_K, Analyses
from experiments.report.figures.drawing import band
from experiments.report.figures.lottery import accuracy
from experiments.report.figures.palette import COLOURS, cycle, images, new_figure
from experiments.report.figures.stability import barrier_against_gap, barrier_by_index
from experiments.report.replicates import FULL, Replicates
from foundations.steps import Step
from foundations.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, str]
OF_TRAINING, OF_GAP = "training", "barrier_against_gap"


def draw(study: Study) -> None:
    """Writes as SVG beside the rows what there are rows of."""
    for name, make in figures(study).items():
        Store(RESULTS).write_bytes(name_of(study, name), images(make, forms=("svg",))["svg"])


def name_of(study: Study, figure: str) -> str:
    """Of a figure's file; that of accuracies bears the study's name alone."""
    return "-".join(filter(None, [study.name, figure])) + ".svg"


def figures(study: Study) -> "dict[str, Callable[[], Figure]]":
    """What draws each figure, by its name."""
    makers: dict[str, Callable[[], Figure]] = {}
    lines = lines_of(study, read(ACCURACIES.file_of(study)))
    if any(not line.is_full for line in lines):
        makers[""] = partial(accuracy, lines, [])
    if followed := read(TRAININGS.file_of(study)):
        makers[OF_TRAINING] = partial(trainings, study, followed)
    barriers = read(BARRIERS.file_of(study))
    drawn: list[set[str]] = [set()]
    for name, titles in study.curves.items():
        there = {row["title"] for row in barriers}.intersection(titles)
        if there not in drawn:  # nothing more than an earlier one shows
            drawn.append(there)
            makers[name] = partial(barrier_by_index, analyses(barriers, titles))
    if barriers:
        makers[OF_GAP] = partial(barrier_against_gap, analyses(barriers, {row["title"] for row in barriers}))
    return makers


def lines_of(study: Study, rows: Sequence[Row]) -> list[Replicates]:
    """The replicates of each of the methods that the figure shows, at each density, as a line each."""
    full = study.parts[0].title
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["title"] in (study.drawn or [part.title for part in study.parts]):
            groups.setdefault((row["title"], row["k"], f"{float(row['density']):.4f}"), []).append(row)
    return [
        Replicates(
            strategy=FULL if title == full else title, k=k, level=int(title != full), density=float(density),
            values=tuple(float(row["test_accuracy"]) for row in group if row["test_accuracy"]), paths=(),
            states=tuple(row["state"] for row in group),
        )
        for (title, k, density), group in groups.items()
        if title == full or float(density) < 1
    ]  # fmt: skip


def trainings(study: Study, rows: Sequence[Row]) -> "Figure":
    """Test accuracy over training, a curve with a band over the replicates for each method that is followed."""
    figure = new_figure(5.4, 3.6)
    axes = figure.subplots()
    for title, colour in zip(study.followed, cycle(COLOURS), strict=False):
        own = [{name: float(row[name]) for name in ("epoch", "test_accuracy")} for row in rows if row["title"] == title]
        band(axes, own, "black" if title == study.parts[0].title else colour, title, 1.4)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("training (epochs)")
    axes.set_ylabel("test accuracy (%)")
    axes.legend(loc="lower right")
    return figure


def analyses(rows: Sequence[Row], titles: Iterable[str]) -> Analyses:
    """The rows of some networks as a report's rows. They are means over pairs, so bars are over replicates."""
    wanted = set(titles)
    found = [analysis(row) for row in rows if row["title"] in wanted]
    return Analyses(BY_K, analyses=found, pairs=found)


def analysis(row: Row) -> dict[str, Any]:
    """A row of a file with its numbers as numbers."""
    texts = ("title", "k", "stable", "key", "commit", "torch", "processor", "threads", "date")
    numbers = {name: float(value) for name, value in row.items() if name not in texts and value}
    return {
        **numbers, "network": row["title"], "k": row["k"], "k_epoch": float(Step(row["k"]).order[0]),
        "replicate": int(row["replicate"]), "pairs": int(row["pairs"]),
    }  # fmt: skip
