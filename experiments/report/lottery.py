"""Tables and files of dense trainings and lottery runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.report.comparisons import COLUMNS as COMPARED
from experiments.report.comparisons import comparisons
from experiments.report.figures.lottery import accuracy, early_stopping
from experiments.report.replicates import (
    EARLY_STOPPED,
    Replicates,
    full_network_once,
    not_whole,
    summarize,
    varied_names,
)
from experiments.report.tables import CSV, Table, as_csv, percent, write_files
from experiments.runs.rows import COUNTED, DONE, density_text
from foundations.averages import average, standard_deviation
from foundations.formats import DIVERGED, Row
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store

EARLY_STOPPING = "early stopping"
"""The heading of the test accuracy where the validation loss is smallest."""
COLUMNS = (
    "level", "density", "replicate", "test_accuracy", "test_loss", "train_accuracy", "path", "state",
    "effective_density", "validation_accuracy", "validation_loss", "early_stopping_iteration", EARLY_STOPPED,
)  # fmt: skip
"""Of ``runs.csv``. What has come to no result has its state and leaves the rest empty."""
LINE_COLUMNS = (
    "level", "density", "mean_test_accuracy", "std_test_accuracy", "replicates", *COUNTED, "effective_density",
    "early_stopping_iteration", "mean_early_stopping_test_accuracy", "std_early_stopping_test_accuracy",
)  # fmt: skip
"""Of ``table.csv``. ``replicates`` are those that the mean is over; the states count all."""


# Tables --------------------------------------------------------------------------------------------------------------


def training_table(rows: Sequence[Row]) -> Table:
    """Return a line for each training; one that was not trained to its end has the step that it has come to."""
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


def reached(row: Row) -> str:
    """Return how far a training has come, and that it was given up there, if it was."""
    step = Step(row["step"]).short
    return f"{step} (diverged)" if row.get(DIVERGED) else step


def early_stopped(row: Row) -> str:
    if EARLY_STOPPED not in row:
        return "-"
    return f"{percent([row[EARLY_STOPPED]])} at {row['early_stopping_iteration']}it"


def lottery_table(lines: Sequence[Replicates], names: Sequence[str], *, where: bool = True) -> Table:
    """Return a line for each subnetwork, with mean and standard deviation over the replicates.

    The effective density has a column if it is another than the density somewhere, early stopping if there is a
    validation set. Below the table stands which replicates did not end as they should.

    Args:
        lines: the subnetworks.
        names: the hyperparameters that differ.
        where: end lines with their directory, for the terminal; else, for print, the number of weights kept stands
            beside the density.
    """
    idle = [line for line in lines if lies_idle(line)]
    more = {
        "weights": [] if where else [str(line.kept or "-") for line in lines],
        "effective": [effective(line) for line in lines] if idle else [],
        "test accuracy": [percent(line.values) for line in lines],
        "n": [str(len(line.values)) for line in lines],
        EARLY_STOPPING: [line.early_stopping for line in lines] if any(line.early_stopped for line in lines) else [],
        "where": [str(line.place) for line in lines] if where else [],
    }
    columns = {name: cells for name, cells in more.items() if cells}
    cells = [[*named(line, names), *own] for line, *own in zip(lines, *columns.values(), strict=True)]
    return Table(["strategy", "k", *names, "level", "density", *columns], cells, not_whole(lines))


def named(line: Replicates, names: Sequence[str]) -> list[str]:
    """Return the cells that say what a line is about."""
    varied = [line.varied.get(name, "") for name in names]
    return [line.strategy, line.k, *varied, str(line.level), line.kept_text]


def lies_idle(line: Replicates) -> bool:
    """Return whether a line keeps weights that lie on no path, as far as a table would show it."""
    return line.effective_density is not None and f"{line.effective_density:.2%}" != f"{line.density:.2%}"


def effective(line: Replicates) -> str:
    return "-" if line.effective_density is None else density_text(line.effective_density)


def branch_table(rows: Sequence[Row], branch: str, outcome: str) -> Table:
    """Return a line for each level with the outcome of a branch beside the level's accuracy (``level_accuracy``)."""
    names = varied_names(rows)
    levels, branched = summarize(rows, "level_accuracy"), summarize(rows, outcome)
    what = f"{branch}: {outcome.replace('_', ' ')}"
    return Table(
        ["strategy", "k", *names, "level", "density", "test accuracy", what, "n", "where"],
        [
            [*named(line, names), percent(level.values), percent(line.values), str(len(line.values)), str(line.place)]
            for level, line in zip(levels, branched, strict=True)
        ],
        not_whole(branched),
    )


# Files ---------------------------------------------------------------------------------------------------------------


def write_report(rows: Iterable[Row], directory: Path, reporter: Reporter) -> None:
    """Write ``runs.csv``, ``table.csv`` (mean and standard deviation over replicates), ``accuracy.svg`` and ``.png``.

    With two replicates and more there is ``comparisons.csv``, see :func:`comparisons`; where weights lie on no path
    ``accuracy_effective``; with a validation set ``early_stopping``. Without the result of a pruned network there is
    no figure.
    """
    levels = list(rows)
    names, once = varied_names(levels), full_network_once(levels)
    lines, compared = summarize(once), comparisons(levels)
    runs = [{"state": DONE, **row, **{name: row.get("varied", {}).get(name, "") for name in names}} for row in once]
    tables = {
        **({"comparisons": (COMPARED, [one.cells for one in compared])} if compared else {}),
        "runs": as_csv(runs, ["strategy", "k", *names, *COLUMNS]),
        "table": lines_csv(lines, names),
    }
    drawn = any(line.values and not line.is_full for line in lines)
    figures = {"accuracy": lambda: accuracy(lines, names)} if drawn else {}
    if drawn and any(map(lies_idle, lines)):
        figures["accuracy_effective"] = lambda: accuracy(lines, names, effective=True)
    if any(line.early_stopped and not line.is_full for line in lines):
        figures["early_stopping"] = lambda: early_stopping(lines, names)
    write_files(Store(directory), tables, figures, reporter)


def lines_csv(lines: Sequence[Replicates], names: Sequence[str], *more: str) -> CSV:
    """Return the numbers of each line, and beside them those of ``more`` properties."""
    cells = [
        [
            line.strategy, line.k, *(line.varied.get(name, "") for name in names), line.level, line.density, line.mean,
            line.standard_deviation, len(line.values), *map(line.states.count, COUNTED), line.effective_density,
            line.early_stopping_iteration, average(line.early_stopped),
            (standard_deviation(line.early_stopped) or 0.0) if line.early_stopped else None,
            *(getattr(line, name) for name in more),
        ]
        for line in lines
    ]  # fmt: skip
    return ["strategy", "k", *names, *LINE_COLUMNS, *more], cells
