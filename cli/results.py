"""From the runs of a command to the tables at its end."""

from collections.abc import Callable, Iterable
from typing import Any

from cli.terminal import print_table
from experiments.report.lottery import branch_table, lottery_table, write_report
from experiments.report.places import directory_for
from foundations.context import Context
from foundations.errors import UsageError

Rows = list[dict[str, Any]]


def run_each(jobs: Iterable[tuple[str, Callable[[], Rows]]], show: Callable[[Rows], None]) -> None:
    """Runs named jobs one after the other and shows the rows of them all.

    Raises:
        UsageError: at the end, if any of them failed: one that fails does not cost the others.
    """
    rows: Rows = []
    failures: list[str] = []
    for name, job in jobs:
        try:
            rows += job()
        except UsageError as error:
            failures.append(f"{name}: {error}")
    if rows:
        show(rows)
    if failures:
        raise UsageError("\n".join(failures))


def show_lottery(rows: Rows) -> None:
    """One line for each subnetwork, with mean and standard deviation over the replicates."""
    table = lottery_table(rows)
    print_table(table.headers, table.cells)


def show_branch(rows: Rows, branch: str, outcome: str) -> None:
    """The same, with the outcome of a branch beside its level's accuracy."""
    table = branch_table(rows, branch, outcome)
    print_table(table.headers, table.cells)


def report(rows: Rows, context: Context) -> None:
    """Writes table and figure of several experiments, and says where."""
    directory = directory_for("lottery", [row["path"] for row in rows], context.root)
    write_report(rows, directory, context.reporter)
    context.reporter.say(f"Table and figure: {directory}")
