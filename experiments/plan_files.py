"""How far the commands have come that are running: a file of each below the root, for whoever watches."""

import os
import platform
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.meters import duration
from foundations import files
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
        """A line for people; the command comes first."""
        counts = f"{self.done} of {self.tasks} tasks done, {self.running} running, {self.failed} failed"
        left = "" if self.seconds_left is None else f", {duration(self.seconds_left)} left"
        return f"{self.command}: {counts}, {self.waiting} waiting, {self.steps_a_second:.0f} steps/s{left}"

    def write(self, store: Store) -> None:
        """Into its directory."""
        store.write_json(files.PLAN, asdict(self))


def store_of_plan(root: Path) -> Store:
    """The directory of the plan that this thread runs."""
    return Store(root / files.PLANS / f"{platform.node()}_{os.getpid()}_{threading.get_native_id()}")


def running_plans(root: Path | str) -> Iterator[PlanFile]:
    """The plans of processes that are at work; one that cannot be read, since it is just ending, is left out."""
    for path in sorted((Path(root) / files.PLANS).glob(f"*/{files.PLAN}")):
        store = Store(path.parent)
        try:
            if store.locked:
                yield PlanFile(**store.read_json(files.PLAN))
        except (UsageError, TypeError, OSError):
            continue
