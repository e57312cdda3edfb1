"""The table of dense trainings."""

from collections.abc import Sequence

from experiments.report.lines import varied_names
from experiments.report.tables import Row, Table, percent
from foundations.formats import DIVERGED
from foundations.steps import Step


def reached(row: Row) -> str:
    """How far a training has come, and that it was given up there, if it was."""
    step = Step(row["step"]).short
    return f"{step} (diverged)" if row.get(DIVERGED) else step


def training_table(rows: Sequence[Row]) -> Table:
    """A line for each training; one that was not trained to its end has the step that it has come to."""
    varied, ended = varied_names(rows), all("train_accuracy" in row for row in rows)
    headers = ["replicate", *varied, "test accuracy", "train accuracy" if ended else "trained to", "where"]
    cells = [
        [
            str(row["replicate"]),
            *(row["varied"].get(name, "") for name in varied),
            percent([row["test_accuracy"]]),
            percent([row["train_accuracy"]]) if ended else reached(row),
            str(row["path"]),
        ]
        for row in rows
    ]
    return Table(headers, cells)
