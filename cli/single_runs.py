"""``--jobs``: the runs that a command's lists expand to, completed by processes of their own."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cli.jobs import LINES_SHOWN, Ending, run_all
from cli.lists import without_flags
from cli.options import RunOptions
from cli.running import threads_of
from foundations.reporting import Reporter
from training.trunk import Trunk

SET_HERE = ("jobs", "threads", "quiet")


@dataclass(frozen=True, eq=False)
class SingleRun:
    """One run of a command that lists several."""

    label: str
    """What it is called beside the others."""
    command: tuple[str, ...]
    """That of a child that computes it alone; the subcommand comes first."""
    trunk: Trunk
    """The dense training that it stands on."""
    reach: int
    """The iteration to which it needs the trunk before anything else."""
    compute: Callable[[], None]
    """Computes in this process what is left."""
    done: Callable[[], bool]
    """Whether nothing is left."""


def complete_in_processes(
    runs: Sequence[SingleRun], options: RunOptions, reporter: Reporter
) -> list[Callable[[], None]]:
    """Has runs that are not done completed by child processes, if ``--jobs`` says so and there are several.

    One that fails in a child does not cost the others. It is left to this process, which goes on from its last
    checkpoint; if it fails here too, that is said in the same words and with the same exit code as without --jobs.

    Returns:
        For each run what finishes it in this process: nothing where a child has done it all.
    """
    todo = those_of_a_trunk_apart([run for run in runs if not run.done()]) if options.jobs > 1 else []
    completed = in_processes(todo, options, reporter) if len(todo) > 1 else []
    return [(lambda: None) if run in completed else run.compute for run in runs]


def in_processes(todo: Sequence[SingleRun], options: RunOptions, reporter: Reporter) -> list[SingleRun]:
    """Runs them in the order given, ``--jobs`` at a time; those that were completed."""
    completed: list[SingleRun] = []
    failed: list[SingleRun] = []

    def ended(place: int, ending: Ending) -> None:
        run = todo[place]
        (failed if ending.code else completed).append(run)
        count = f"{len(completed) + len(failed)} of {len(todo)}"
        lines = [line.removeprefix(f"{run.label}: ") for line in ending.lines]
        if ending.code:
            why = " ".join(lines[-LINES_SHOWN:])
            reporter.say(f"{count}, {run.label}: exit code {ending.code}, to be tried again at the end; {why}")
            return
        reporter.say(f"{count}, {run.label}: done")
        for line in lines:
            reporter.warn(f"{run.label}: {line}")

    run_all([child_command(run, options) for run in todo], options.jobs, "runs", reporter, ended)
    return completed


def child_command(run: SingleRun, options: RunOptions) -> list[str]:
    """The command line of a child, which speaks of nothing but what is wrong."""
    return [*without_flags(run.command, SET_HERE), f"--threads={threads_of(options)}", "--quiet"]


def those_of_a_trunk_apart(runs: Sequence[SingleRun]) -> list[SingleRun]:
    """The first run of each trunk, then the second of each, and so on.

    Runs over one trunk would wait for each other while it is trained. The one that needs least of it is its first, so
    that the trunk grows and no other waits for longer than it must.
    """
    before: Counter[str] = Counter()
    rank: dict[SingleRun, int] = {}
    for run in sorted(runs, key=lambda run: run.reach):
        name = str(run.trunk.store.path)
        rank[run] = before[name]
        before[name] += 1
    return sorted(rank, key=lambda run: rank[run])
