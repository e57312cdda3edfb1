"""The table at the end of ``stability``, and where its figures go."""

from collections.abc import Sequence

from cli.terminal import print_table
from experiments.report.stability import Analysed, report_stability, stability_table
from foundations.context import Context
from stability import StabilityRunner


def print_stability_results(runners: Sequence[StabilityRunner]) -> None:
    """A line for each network and k, replicates together, and the smallest k found stable."""
    table, smallest = stability_table(
        Analysed(one.desc, one.trunk.iteration(one.k), one.here.path, one.result()) for one in runners
    )
    print_table(table.headers, table.cells)
    print(*smallest, sep="\n")


def write_stability_report(runners: Sequence[StabilityRunner], context: Context) -> None:
    """Writes tables and figures of all runs in one place and says where."""
    report_stability([runner.store for runner in runners], context)
