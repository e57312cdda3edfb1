"""Run the experiments of a command line and print their tables."""

import sys
from collections.abc import Callable, Sequence

from cli import FAILED, RESUMES
from cli.command_line import CommandLine
from cli.terminal import print_table, say
from experiments.define.experiment import Experiment
from experiments.define.grid import Grid
from experiments.define.stability import Stability
from experiments.report.comparisons import comparison_table, comparisons
from experiments.report.criteria import CAPTION, criteria_table, write_criteria
from experiments.report.lottery import lottery_table, measurements_table, write_report
from experiments.report.replicates import full_network_once, summarize, varied_names
from experiments.report.stability import measured_analyses, report_stability, stability_table
from experiments.report.tables import Table, directory_for
from experiments.run.engines import Failed, Failure
from foundations.context import Context
from foundations.formats import Row
from foundations.text import printable, printable_text


def print_rows(table: Table) -> None:
    if table.cells:
        print_table(table.headers, table.cells)
        say(*table.notes)


def print_measured(table: Table) -> None:
    if table.cells:
        print()
        print_rows(table)


def show_lottery(experiments: Sequence[Experiment], context: Context) -> None:
    """Print a line for each subnetwork; of several experiments also write table and figure."""
    rows: list[Row] = [row for one in experiments for row in (*one.rows(), *one.missing())]
    if all("test_accuracy" not in row for row in rows):
        return
    lines, names = summarize(full_network_once(rows)), varied_names(rows)
    print_rows(lottery_table(lines, names))
    print_measured(measurements_table(lines, names))
    if compared := comparisons(rows):
        print()
        print_rows(comparison_table(compared))
    if len(experiments) > 1:
        write_report(rows, directory_for("lottery", [row["path"] for row in rows], context.root), context.reporter)


def show_criteria(grid: Grid) -> None:
    """Print which k each criterion has found beside those that were given, and draw the curves of the criteria."""
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
    """Print a line for each network and k, replicates together, and what is stable; write tables and figures."""
    asked_for = [one for one in experiments if isinstance(one, Stability)]
    rows = [row for one in asked_for for row in (*one.rows(), *one.missing())]
    done = [one.store for one in asked_for if one.runner.done]
    if not done:
        return
    table, sentences = stability_table(rows, {one.desc.key: (one.desc.strategy_name, one.desc) for one in asked_for})
    print_rows(table)
    say(*sentences)
    print_measured(measured_analyses(rows))
    if report:
        report_stability(done, context)


def run_experiments(line: CommandLine, show: Callable[[Grid], None], branch: str | None = None) -> int:
    """Run all experiments that a command line asks for, and show what came of them, whatever failed.

    Returns:
        The exit code: 0; 1 if a task failed or diverged, 2 if all that failed is for the user to correct.
    """
    grid = line.grid(branch)
    if line.options.display_output_location:
        print(*dict.fromkeys(place for experiment in grid.experiments for place in experiment.places()), sep="\n")
        return 0
    if line.options.dry_run:
        grid.prepare(dry=True)
        print_plan(grid)
        return 0
    try:
        grid.run()
    except Failed as failed:
        show(grid)
        return report_failures(failed.failures)
    show(grid)
    return 0


def report_failures(failures: Sequence[Failure]) -> int:
    """Say on standard error what failed and what was skipped; return the exit code."""
    sys.stdout.flush()
    for failure in failures:
        text = f"{failure.task.experiment if failure.refused else failure.task.label}: {failure.reason}"
        print(printable_text(text if failure.refused else f"{failure.details}{text}"), file=sys.stderr)
        for task in failure.skipped:
            print(printable(f"  skipped, since it depends on that: {task.label}"), file=sys.stderr)
    if all(failure.refused for failure in failures):
        return min(failure.exit_code for failure in failures)
    print(f"\n{RESUMES}", file=sys.stderr)
    return FAILED


def print_plan(grid: Grid) -> None:
    """Print a line for each task: whether it is done, for how many experiments it is, how many steps it takes."""
    plan, session = grid.plan(), grid.session
    wanted = grid.owners()
    steps = plan.steps(session)
    cells = [[task.label, "done", str(wanted[task]), ""] for task in plan.done]
    cells += [[task.label, "to do", str(wanted[task]), str(steps[task] or "")] for task in plan]
    print_table(["task", "state", "experiments", "steps"], cells)
    print(f"{len(plan.done)} done, {len(plan)} to do, {sum(steps.values())} optimizer steps left")
