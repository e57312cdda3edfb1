"""What every command does with the experiments that it was asked for: show where they are, plan them, or run them."""

import sys
from collections.abc import Callable, Sequence

from cli import FAILED
from cli.command_line import CommandLine
from cli.terminal import print_table
from experiments.engines import Failed, Failure
from experiments.grid import Grid

RESUMES = "A defect of the program or a plug-in. The same command resumes."


def run_experiments(line: CommandLine, show: Callable[[Grid], None], branch: str | None = None) -> int:
    """Runs all experiments that a command line asks for, and shows what came of them, whatever failed.

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
    """Says on standard error what failed and what was skipped; the exit code."""
    sys.stdout.flush()
    for failure in failures:
        if failure.refused:
            print(f"{failure.task.experiment}: {failure.reason}", file=sys.stderr)
        else:
            print(f"{failure.details}{failure.task.label}: {failure.reason}", file=sys.stderr)
        for task in failure.skipped:
            print(f"  skipped, since it depends on that: {task.label}", file=sys.stderr)
    if all(failure.refused for failure in failures):
        return min(failure.exit_code for failure in failures)
    print(f"\n{RESUMES}", file=sys.stderr)
    return FAILED


def print_plan(grid: Grid) -> None:
    """A line for each task: whether it is done, how many experiments it is for, how many steps it takes."""
    plan, session = grid.plan(), grid.session
    wanted = grid.owners()
    steps = plan.steps(session)
    cells = [[task.label, "done", str(wanted[task]), ""] for task in plan.done]
    cells += [[task.label, "to do", str(wanted[task]), str(steps[task] or "")] for task in plan]
    print_table(["task", "state", "experiments", "steps"], cells)
    print(f"{len(plan.done)} done, {len(plan)} to do, {sum(steps.values())} optimizer steps left")
