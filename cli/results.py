"""From the runs of a command to the tables at its end."""

from collections.abc import Callable, Iterable
from typing import Any

from cli.terminal import print_table
from foundations.context import Context
from foundations.errors import UsageError
from lottery.report import Line, directory_for, full_network_once, summarize, write_report

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
    """One line for each strategy, k, level and density, with mean and spread over the replicates."""
    lines = summarize(full_network_once(rows))
    headers = ["strategy", "k", "level", "density", "test accuracy", "where"]
    print_table(headers, [[*named(line), share(line), str(line.place)] for line in lines])


def show_branch(rows: Rows, branch: str, outcome: str) -> None:
    """The same, with the outcome of a branch beside its level's accuracy."""
    levels, branched = summarize(rows, "level_accuracy"), summarize(rows, outcome)
    headers = ["strategy", "k", "level", "density", "test accuracy", f"{branch}: {outcome.replace('_', ' ')}", "where"]
    print_table(
        headers,
        [
            [*named(line), share(level), share(line), str(line.place)]
            for level, line in zip(levels, branched, strict=True)
        ],
    )


def report(rows: Rows, context: Context) -> None:
    """Writes table and figure of several experiments, and says where."""
    directory = directory_for(rows, context.root)
    write_report(rows, directory, context.reporter)
    context.reporter.say(f"Table and figure: {directory}")


def named(line: Line) -> list[str]:
    """The cells that say what a line is about."""
    return [line.strategy, line.k, str(line.level), f"{line.density:.2%}"]


def share(line: Line) -> str:
    """``91.20%``, or mean, standard deviation and number of several: ``91.20% +- 0.15 (n=3)``."""
    n = len(line.values)
    return f"{line.mean:.2%}" + (f" +- {100 * line.spread:.2f} (n={n})" if n > 1 else "")
