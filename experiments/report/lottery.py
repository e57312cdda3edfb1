"""Tables and files of dense trainings and lottery runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.report.comparisons import COLUMNS as COMPARED
from experiments.report.comparisons import comparisons
from experiments.report.figures.lottery import lottery_figures
from experiments.report.figures.numbers import measured_figures
from experiments.report.numbers import measured_numbers, numbers_csv, numbers_table
from experiments.report.replicates import (
    EARLY_STOPPED,
    Replicates,
    full_network_once,
    not_whole,
    summarize,
    varied_names,
)
from experiments.report.tables import CSV, Table, as_csv, percent, table_of, write_files
from experiments.runs.rows import COUNTED, DONE
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
    ended = all("train_accuracy" in row for row in rows)
    columns = {
        "replicate": [str(row["replicate"]) for row in rows],
        **{name: [row["varied"].get(name, "") for row in rows] for name in varied_names(rows)},
        "test accuracy": [percent([row["test_accuracy"]]) for row in rows],
        "train accuracy": [percent([row["train_accuracy"]]) for row in rows] if ended else [],
        "trained to": [] if ended else [reached(row) for row in rows],
        EARLY_STOPPING: [early_stopped(row) for row in rows] if any(EARLY_STOPPED in row for row in rows) else [],
        "where": [str(row["path"]) for row in rows],
    }
    return table_of(columns)


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
    idle, stopped = any(line.lies_idle for line in lines), any(line.early_stopped for line in lines)
    return table_of({
        **about(lines, names),
        "weights": [] if where else [str(line.kept or "-") for line in lines],
        "effective": [line.effective_text for line in lines] if idle else [],
        "test accuracy": [percent(line.values) for line in lines],
        "n": [str(len(line.values)) for line in lines],
        EARLY_STOPPING: [line.early_stopping for line in lines] if stopped else [],
        "where": [str(line.place) for line in lines] if where else [],
    }, not_whole(lines))  # fmt: skip


def measurements_table(lines: Sequence[Replicates], names: Sequence[str]) -> Table:
    """Return what was measured of each subnetwork; empty where nothing was."""
    known = [line for line in lines if line.measured]
    return numbers_table(about(known, names), [line.measured for line in known])


def measured_trainings(rows: Sequence[Row]) -> Table:
    """Return what was measured of dense trainings, replicates together; empty where nothing was."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(str(row["varied"]), []).append(row)
    columns = {
        name: [group[0]["varied"].get(name, "") for group in groups.values()] for name in varied_names(rows)
    }  # fmt: skip
    columns["n"] = [str(len(group)) for group in groups.values()]
    return numbers_table(columns, [measured_numbers(group) for group in groups.values()])


def branch_table(rows: Sequence[Row], branch: str, outcome: str) -> Table:
    """Return a line for each level with the outcome of a branch beside the level's accuracy (``level_accuracy``)."""
    levels, branched = summarize(rows, "level_accuracy"), summarize(rows, outcome)
    return table_of({
        **about(branched, varied_names(rows)),
        "test accuracy": [percent(line.values) for line in levels],
        f"{branch}: {outcome.replace('_', ' ')}": [percent(line.values) for line in branched],
        "n": [str(len(line.values)) for line in branched],
        "where": [str(line.place) for line in branched],
    }, not_whole(branched))  # fmt: skip


def about(lines: Sequence[Replicates], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns that say what each line is about; ``names`` are the hyperparameters that differ."""
    return {
        "strategy": [line.strategy for line in lines],
        "k": [line.k for line in lines],
        **{name: [line.varied.get(name, "") for line in lines] for name in names},
        "level": [str(line.level) for line in lines],
        "density": [line.kept_text for line in lines],
    }


# Files ---------------------------------------------------------------------------------------------------------------


def write_report(rows: Iterable[Row], directory: Path, reporter: Reporter) -> None:
    """Write ``runs.csv``, ``table.csv`` (mean and standard deviation over replicates), ``accuracy.svg`` and ``.png``.

    With two replicates and more there is ``comparisons.csv``, see :func:`comparisons`; where weights lie on no path
    ``accuracy_effective``; with a validation set ``early_stopping``; with measurements ``measurements`` and
    ``measurements_pairs``. Without the result of a pruned network there is no figure.
    """
    levels = list(rows)
    names, once = varied_names(levels), full_network_once(levels)
    lines, compared = summarize(once), comparisons(levels)
    runs = [{"state": DONE, **row, **{name: row.get("varied", {}).get(name, "") for name in names}} for row in once]
    tables = {
        **({"comparisons": (COMPARED, [one.cells for one in compared])} if compared else {}),
        "runs": as_csv(runs, ["strategy", "k", *names, *COLUMNS, *measured_numbers(once)]),
        "table": lines_csv(lines, names),
    }
    drawn = {**lottery_figures(lines, names), **measured_figures(lines, names)}
    write_files(Store(directory), tables, drawn, reporter)


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
    columns, numbers = numbers_csv([line.measured for line in lines])
    whole = [[*own, *measured] for own, measured in zip(cells, numbers, strict=True)]
    return ["strategy", "k", *names, *LINE_COLUMNS, *more, *columns], whole
