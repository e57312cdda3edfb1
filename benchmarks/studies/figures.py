"""The figures of studies, drawn from their rows as reports draw those of runs."""

from collections.abc import Mapping, Sequence
from functools import partial

from benchmarks.studies.rows import RESULTS, file_of, read
from benchmarks.studies.study import Study
from experiments.report.lines import FULL, Line
from experiments.report.lottery_figure import accuracy
from experiments.report.palette import images
from foundations.store import Store

Row = Mapping[str, str]


def draw(study: Study) -> None:
    """Writes the figure of accuracies as SVG beside the rows, if there are rows of what it shows."""
    lines = lines_of(study, read(file_of(study, "lottery")))
    if any(not line.is_full for line in lines):
        drawn = images(partial(accuracy, lines, []), forms=("svg",))
        Store(RESULTS).write_bytes(f"{study.name}.svg", drawn["svg"])


def lines_of(study: Study, rows: Sequence[Row]) -> list[Line]:
    """The replicates of each of the methods that the figure shows, at each density, as a line each."""
    full = study.parts[0].title
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["title"] in (study.drawn or [part.title for part in study.parts]):
            groups.setdefault((row["title"], row["k"], f"{float(row['density']):.4f}"), []).append(row)
    return [
        Line(
            strategy=FULL if title == full else title, k=k, level=int(title != full), density=float(density),
            values=tuple(float(row["test_accuracy"]) for row in group if row["test_accuracy"]), paths=(),
            states=tuple(row["state"] for row in group),
        )
        for (title, k, density), group in groups.items()
        if title == full or float(density) < 1
    ]  # fmt: skip
