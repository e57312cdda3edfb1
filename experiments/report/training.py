"""The table of dense trainings."""

from collections.abc import Sequence

from experiments.report.lines import EARLY_STOPPED, varied_names
from experiments.report.tables import Row, Table, percent
from foundations.formats import DIVERGED
from foundations.steps import Step

EARLY_STOPPING = "early stopping"
"""The heading of the test accuracy where the validation loss is smallest."""


def reached(row: Row) -> str:
    """How far a training has come, and that it was given up there, if it was."""
    step = Step(row["step"]).short
    return f"{step} (diverged)" if row.get(DIVERGED) else step


def early_stopped(row: Row) -> str:
    """Test accuracy and iteration where the validation loss is smallest; ``-`` if that is not known yet."""
    if EARLY_STOPPED not in row:
        return "-"
    return f"{percent([row[EARLY_STOPPED]])} at {row['early_stopping_iteration']}it"


def training_table(rows: Sequence[Row]) -> Table:
    """A line for each training; one that was not trained to its end has the step that it has come to."""
    varied, ended = varied_names(rows), all("train_accuracy" in row for row in rows)
    stopping = [EARLY_STOPPING] if any(EARLY_STOPPED in row for row in rows) else []
    headers = ["replicate", *varied, "test accuracy", "train accuracy" if ended else "trained to", *stopping, "where"]
    cells = [
        [
            str(row["replicate"]),
            *(row["varied"].get(name, "") for name in varied),
            percent([row["test_accuracy"]]),
            percent([row["train_accuracy"]]) if ended else reached(row),
            *(early_stopped(row) for _ in stopping),
            str(row["path"]),
        ]
        for row in rows
    ]
    return Table(headers, cells)
