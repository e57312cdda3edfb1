"""Tables and figures of lottery runs, from the rows of their levels (see ``lines``)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from experiments.report.early_stopping_figure import early_stopping
from experiments.report.lines import EARLY_STOPPED, Line, full_network_once, summarize, varied_names
from experiments.report.lottery_figure import accuracy
from experiments.report.states import DONE, STATES
from experiments.report.tables import Row, Table
from experiments.report.training import EARLY_STOPPING
from experiments.report.writing import write_files
from foundations.averages import average, standard_deviation
from foundations.reporting import Reporter
from foundations.store import Store

COLUMNS = (
    "level", "density", "replicate", "test_accuracy", "test_loss", "train_accuracy", "path", "state",
    "effective_density", "validation_accuracy", "validation_loss", "early_stopping_iteration", EARLY_STOPPED,
)  # fmt: skip
"""Of ``runs.csv``. What has come to no result has its state and leaves the rest empty."""

LINE_COLUMNS = (
    "level", "density", "mean_test_accuracy", "std_test_accuracy", "replicates", *STATES, "effective_density",
    "early_stopping_iteration", "mean_early_stopping_test_accuracy", "std_early_stopping_test_accuracy",
)  # fmt: skip
"""Of ``table.csv``. ``replicates`` are those that the mean is over; the states count all."""


# For the terminal ----------------------------------------------------------------------------------------------


def lottery_table(rows: Sequence[Row]) -> Table:
    """One line for each subnetwork, with mean and standard deviation over the replicates.

    The effective density has a column if it is another than the density somewhere, early stopping if there is a
    validation set.
    """
    names, lines = varied_names(rows), summarize(full_network_once(rows))
    more = ["effective"] if any(lies_idle(line) for line in lines) else []
    stopping = [EARLY_STOPPING] if any(line.early_stopped for line in lines) else []
    headers = ["strategy", "k", *names, "level", "density", *more, "test accuracy", *stopping, "where"]
    cells = [
        [*named(line, names), *(effective(line) for _ in more), line.text, *(line.early_stopping for _ in stopping),
         str(line.place)]
        for line in lines
    ]  # fmt: skip
    return Table(headers, cells)


def lies_idle(line: Line) -> bool:
    """Whether a line keeps weights that lie on no path, as far as a table would show it."""
    return line.effective_density is not None and effective(line) != f"{line.density:.2%}"


def effective(line: Line) -> str:
    """The effective density in percent; ``-`` where it is not known."""
    return "-" if line.effective_density is None else f"{line.effective_density:.2%}"


def branch_table(rows: Sequence[Row], branch: str, outcome: str) -> Table:
    """The same, with the outcome of a branch beside its level's accuracy (``level_accuracy``)."""
    names = varied_names(rows)
    levels, branched = summarize(rows, "level_accuracy"), summarize(rows, outcome)
    what = f"{branch}: {outcome.replace('_', ' ')}"
    return Table(
        ["strategy", "k", *names, "level", "density", "test accuracy", what, "where"],
        [
            [*named(line, names), level.text, line.text, str(line.place)]
            for level, line in zip(levels, branched, strict=True)
        ],
    )


def named(line: Line, names: Sequence[str]) -> list[str]:
    """The cells that say what a line is about."""
    varied = [line.varied.get(name, "") for name in names]
    return [line.strategy, line.k, *varied, str(line.level), f"{line.density:.2%}"]


# Files ---------------------------------------------------------------------------------------------------------


def write_report(rows: Iterable[Row], directory: Path, reporter: Reporter) -> None:
    """Writes ``runs.csv``, ``table.csv`` (mean and standard deviation over replicates), ``accuracy.svg`` and ``.png``.

    Where weights lie on no path there is ``accuracy_effective``, too, with a validation set ``early_stopping``.

    Without the result of a pruned network there is no figure.
    """
    levels = list(rows)
    names, once = varied_names(levels), full_network_once(levels)
    lines = summarize(once)
    runs = ([row["strategy"], row["k"], *(row.get("varied", {}).get(name, "") for name in names),
             *({"state": DONE, **row}.get(column) for column in COLUMNS)] for row in once)  # fmt: skip
    tables = {
        "runs": (("strategy", "k", *names, *COLUMNS), runs),
        "table": (("strategy", "k", *names, *LINE_COLUMNS), [line_cells(line, names) for line in lines]),
    }
    drawn = any(line.values and not line.is_full for line in lines)
    figures = {"accuracy": lambda: accuracy(lines, names)} if drawn else {}
    if drawn and any(map(lies_idle, lines)):
        figures["accuracy_effective"] = lambda: accuracy(lines, names, effective=True)
    if any(line.early_stopped and not line.is_full for line in lines):
        figures["early_stopping"] = lambda: early_stopping(lines, names)
    write_files(Store(directory), tables, figures, reporter)


def line_cells(line: Line, names: Sequence[str]) -> list[Any]:
    """The row of a line under ``strategy``, ``k``, the names of hyperparameters and ``LINE_COLUMNS``."""
    return [
        line.strategy, line.k, *(line.varied.get(name, "") for name in names), line.level, line.density, line.mean,
        line.standard_deviation, len(line.values), *map(line.states.count, STATES),
        line.effective_density, line.early_stopping_iteration, average(line.early_stopped),
        (standard_deviation(line.early_stopped) or 0.0) if line.early_stopped else None,
    ]  # fmt: skip
