"""Run the experiments of a command line and print their tables."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cli import FAILED, RESUMES
from cli.command_line import CommandLine
from cli.terminal import print_table, say, size_text
from experiments.define.experiment import Experiment
from experiments.define.grid import Grid
from experiments.define.stability import Stability
from experiments.report.comparisons import comparison_table, comparisons
from experiments.report.criteria import CAPTION, criteria_table, write_criteria
from experiments.report.lottery import lottery_table, measurements_table, write_report
from experiments.report.page.runs import compute_sentences
from experiments.report.replicates import full_network_once, summarize, varied_names
from experiments.report.stability import measured_analyses, report_stability, stability_table
from experiments.report.tables import Table, directory_for
from experiments.run import slurm
from experiments.run.engines import Failed, Failure
from experiments.run.estimate import Estimate, estimate, names_of
from experiments.run.plan import Plan
from experiments.runs.directory import RunDirectory
from foundations.comparisons import CONFIDENCE
from foundations.context import Context
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.run import store_of
from foundations.text import duration, printable, printable_text


def print_rows(table: Table) -> None:
    if table.cells:
        print_table(table.headers, table.cells)
        say(*table.notes)


def print_measured(table: Table) -> None:
    if table.cells:
        print()
        print_rows(table)
        if any(" (" in cell for line in table.cells for cell in line):
            say(f"in brackets: Student's {CONFIDENCE:.0%} interval over replicates")


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
        print_plan(grid, timed=line.options.estimate)
        return 0
    if line.options.estimate:
        raise UsageError("--estimate: belongs to --dry_run")
    try:
        grid.run()
    except Failed as failed:
        show(grid)
        return report_failures(failed.failures)
    show(grid)
    say_compute(grid)
    return 0


def say_compute(grid: Grid) -> None:
    """Say on standard error what the experiments and their trunks have cost, all attempts."""
    runs: dict[Path, RunDirectory] = {}
    for one in grid.experiments:
        for desc in (one.desc, *one.stands_on()):
            store = store_of(desc, one.replicate, grid.session.context)
            if store.path.is_dir():
                runs[store.path] = RunDirectory(store.path, desc.kind, one.replicate)
    for sentence in compute_sentences([*runs.values()]):
        grid.session.context.reporter.say(f"Compute: {sentence}")


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


def print_plan(grid: Grid, *, timed: bool = False) -> None:
    """Print a line for each task, by how many experiments it is shared, its steps and time; then what all take.

    Args:
        timed: take ten steps of the trainings that no run here tells about.
    """
    plan, session = grid.plan(), grid.session
    on_slurm = session.options.engine == "slurm"
    if on_slurm:
        slurm.check_names(session.options)
    steps, wanted, tasks = plan.steps(session), grid.owners(), [*plan.done, *plan]
    expected = estimate(plan, steps, session, timed=timed)
    names, shared = without_shared(names_of(tasks))
    cells = [
        [name, str(wanted[task]) if wanted[task] > 1 else "", str(steps[task] or "") if task in steps else "done",
         about(expected.seconds[task]) if steps.get(task) and task in expected.seconds else ""]
        for task, name in zip(tasks, names, strict=True)
    ]  # fmt: skip
    say(*([f"of all: {shared}"] if shared else []))
    print_table(["task", "shared by", "steps", "time"], cells)
    if plan:
        print(*expectations(expected, plan, len(plan) if on_slurm else session.jobs), sep="\n")
    if plan and on_slurm:
        minutes = slurm.parameters(session.options)["time"]
        print_table(["array", "jobs", "waits for", "hours at most", "expected"], arrays(plan, expected, minutes))
        print(f"A job has {minutes} minutes (--slurm=time=...); unfinished, it goes on in another.")
    print(f"{len(plan.done)} done, {len(plan)} to do, {sum(steps.values())} optimizer steps left")


def about(seconds: float) -> str:
    return duration(max(seconds, 1))


def without_shared(names: Sequence[str]) -> tuple[list[str], str]:
    """Return names without the parts that all of them have, and these parts."""
    parts = [name.split(", ") for name in names]
    shared = [part for part in parts[0] if all(part in own for own in parts)]
    if any(set(own) <= set(shared) for own in parts):
        return list(names), ""
    return [", ".join(part for part in own if part not in shared) for own in parts], ", ".join(shared)


def expectations(expected: Estimate, plan: Plan, jobs: int) -> list[str]:
    """Return sentences on the time and the disk that a plan takes."""
    seconds, number = expected.on_the_clock(plan, jobs), expected.trainings
    if seconds is None:
        said = ["Time: no run here, on this processor with these threads, tells;", "--estimate times ten steps."]
    else:
        source = f"by {number} training{'s' * (number != 1)} here" if number else "without evaluations, by ten steps"
        said = [f"Time: about {about(seconds)}, {source} on this processor."]
        said += [f"That is {jobs} tasks at once; {about(sum(expected.seconds.values()))} in all."] if jobs > 1 else []
    share = ", ".join(f"{one:.2f}" for one in expected.bf16)
    said += [f"--precision=bf16 took {share} of fp32's time a step (ten steps each)."] if share else []
    return [*said, f"Disk: about {size_text(expected.size)} of networks, optimizer states and masks."]


def arrays(plan: Plan, expected: Estimate, minutes: int) -> list[list[str]]:
    """Return a line for each array that ``--engine=slurm`` submits, with the hours of all of its jobs."""
    cells, whole = [], all(task in expected.seconds for task in plan)
    for number, (tasks, after) in enumerate(slurm.arrays(plan), 1):
        hours = f"{sum(expected.seconds[task] for task in tasks) / 3600:.2g}" if whole else ""
        waits = ", ".join(str(one + 1) for one in after)
        cells.append([str(number), str(len(tasks)), waits, f"{len(tasks) * minutes / 60:.3g}", hours])
    return cells
