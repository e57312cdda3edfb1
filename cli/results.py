"""From finished experiments to the tables at the end of a command, and the reports that are written beside them."""

from collections.abc import Sequence
from typing import Any

from cli.terminal import print_table
from experiments.experiment import Experiment
from experiments.grid import Grid
from experiments.report.criteria import CAPTION, criteria_table
from experiments.report.criteria_figure import write_criteria
from experiments.report.lottery import lottery_table, write_report
from experiments.report.places import directory_for
from experiments.report.stability import Analysed, report_stability, stability_table
from experiments.report.states import state_of
from experiments.report.tables import Table
from experiments.stability import Stability
from foundations import files
from foundations.context import Context


def print_rows(table: Table) -> None:
    """A table with at least one line."""
    if table.cells:
        print_table(table.headers, table.cells)


def show_lottery(experiments: Sequence[Experiment], context: Context) -> None:
    """One line for each subnetwork; of several experiments also table and figure as files."""
    rows: list[dict[str, Any]] = [row for one in experiments for row in (*one.rows(), *one.missing())]
    if all("test_accuracy" not in row for row in rows):
        return
    print_rows(lottery_table(rows))
    if len(experiments) > 1:
        write_report(rows, directory_for("lottery", [row["path"] for row in rows], context.root), context.reporter)


def show_criteria(grid: Grid) -> None:
    """What criteria for k have found, beside each other and k's that were given; figures of what they saw."""
    found, rows = grid.found, grid.criteria()
    compared = len(grid.searches) < len(grid.items) or len({search.criterion for search in grid.searches}) > 1
    if compared and rows:
        print()
        print_rows(criteria_table(rows))
        print(CAPTION)
    if (compared and rows) or any(one.curve for one in found):
        context = grid.session.context
        paths = [*(search.network.store.path for search in grid.searches), *(one.store.path for one in grid)]
        directory = directory_for("criteria", paths, context.root)
        write_criteria(found, rows, directory, context.reporter)


def show_stability(experiments: Sequence[Experiment], context: Context, *, report: bool) -> None:
    """A line for each network and k, replicates together, and what is stable; tables and figures."""
    asked_for = [one for one in experiments if isinstance(one, Stability)]
    done = [one for one in asked_for if one.runner.done]
    if not done:
        return
    table, sentences = stability_table(map(analysed, asked_for))
    print_rows(table)
    print(*sentences, sep="\n")
    if report:
        report_stability([one.store for one in done], context)


def analysed(one: Stability) -> Analysed:
    """An analysis as the table has it, whether it has come to a verdict or not."""
    here, iteration = one.runner.here, one.runner.trunk.iteration(one.k)
    if one.runner.done:
        verdict = one.runner.result()
        return Analysed(one.desc, verdict.k, iteration, here.path, verdict)
    return Analysed(one.desc, one.k, iteration, here.path, None, state_of(here, files.INSTABILITY))
