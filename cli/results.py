"""From finished experiments to the tables at the end of a command, and the reports that are written beside them."""

from collections.abc import Sequence
from typing import Any

from cli.terminal import print_table
from experiments.experiment import Experiment
from experiments.report.lottery import lottery_table, write_report
from experiments.report.places import directory_for
from experiments.report.stability import Analysed, report_stability, stability_table
from experiments.report.tables import Table
from experiments.stability import Stability
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
        directory = directory_for("lottery", [row["path"] for row in rows], context.root)
        write_report(rows, directory, context.reporter)
        context.reporter.say(f"Table and figure: {directory}")


def show_stability(experiments: Sequence[Experiment], context: Context, *, report: bool) -> None:
    """A line for each network and k, replicates together, and the smallest k found stable; tables and figures."""
    done = [one for one in experiments if isinstance(one, Stability) and one.runner.done]
    if not done:
        return
    table, smallest = stability_table(
        Analysed(one.desc, one.runner.trunk.iteration(one.k), one.runner.here.path, one.runner.result()) for one in done
    )
    print_rows(table)
    print(*smallest, sep="\n")
    if report:
        report_stability([one.store for one in done], context)
