"""How far the commands have come that are running: a file of each below the root, for whoever watches."""

import contextlib
import os
import platform
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.run.progress import duration
from experiments.run.slurm_jobs import DONE, ENDED, FAILED, RUNNING, SKIPPED, WAITING, records
from foundations import files
from foundations.disk import hold_all
from foundations.errors import UsageError
from foundations.store import Store


@dataclass(frozen=True, kw_only=True)
class PlanFile:
    """What ``plan.json`` says.

    Args:
        command: the command line.
        tasks: how many there are, and of these how many are
        done, running, failed, waiting: likewise; failed ones include those that depend on them.
        steps: optimizer steps of all of them.
        steps_done: how many of these are taken.
        steps_a_second: the present speed of all processes together.
        seconds_left: the time that is left by that, None as long as nothing is known.
    """

    command: str
    tasks: int
    done: int
    running: int
    failed: int
    waiting: int
    steps: int
    steps_done: int
    steps_a_second: float
    seconds_left: float | None = None

    @property
    def text(self) -> str:
        counts = f"{self.done} of {self.tasks} tasks done, {self.running} running, {self.failed} failed"
        left = "" if self.seconds_left is None else f", {duration(self.seconds_left)} left"
        return f"{self.command}: {counts}, {self.waiting} waiting, {self.steps_a_second:.0f} steps/s{left}"

    def write(self, store: Store) -> None:
        store.write_json(files.PLAN, asdict(self))


def store_of_plan(root: Path) -> Store:
    """Return the directory of the plan that this thread runs."""
    return Store(root / files.PLANS / f"{platform.node()}_{os.getpid()}_{threading.get_native_id()}")


def remove_ended_plans(root: Path) -> None:
    """Removes what commands have left that were killed while they worked at a plan."""
    for path in sorted((root / files.PLANS).glob("*_*")):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError), hold_all([path]) as free:
                if free:
                    Store(path).remove()


def running_plans(root: Path | str) -> Iterator[PlanFile]:
    """The plans of processes that are at work, and of jobs of Slurm that no process watches.

    One that cannot be read, since it is just ending, is left out.
    """
    watched = False
    for path in sorted((Path(root) / files.PLANS).glob(f"*/{files.PLAN}")):
        store = Store(path.parent)
        try:
            if store.locked:
                watched = True
                yield PlanFile(**store.read_json(files.PLAN))
        except (UsageError, TypeError, OSError):
            continue
    if not watched and (jobs := plan_of_jobs(Path(root))) is not None:
        yield jobs


def plan_of_jobs(root: Path) -> PlanFile | None:
    """Return the jobs of Slurm below a root as a plan, by what they say themselves; None once all have ended."""
    found = [(record.job, record.answer) for record in records(root)]
    states = [answer.state for _, answer in found]
    if all(state in ENDED for state in states):
        return None
    speed = sum(answer.speed for _, answer in found if answer.state == RUNNING)
    steps, taken = sum(job.get("steps", 0) for job, _ in found), sum(answer.steps for _, answer in found)
    return PlanFile(
        command="slurm", tasks=len(found), done=states.count(DONE), running=states.count(RUNNING),
        failed=states.count(FAILED) + states.count(SKIPPED), waiting=states.count(WAITING), steps=steps,
        steps_done=taken, steps_a_second=speed, seconds_left=max(steps - taken, 0) / speed if speed else None,
    )  # fmt: skip
