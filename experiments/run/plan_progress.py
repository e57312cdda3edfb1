"""How far a plan has come, for whoever runs it; and how far all running commands have, a file of each below the root.

Imports no PyTorch, for ``list --watch``.
"""

import contextlib
import heapq
import os
import platform
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.run.progress import Clock, Throughput, left
from foundations import files
from foundations.disk import hold_all
from foundations.errors import UsageError
from foundations.reporting import Advanced, Began, Ended, Event, Reporter
from foundations.store import Store
from foundations.text import duration

if TYPE_CHECKING:
    from experiments.run.plan import Plan
    from experiments.run.tasks import Task

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
BETWEEN_WRITES = 2.0  # seconds


class PlanProgress(Reporter):
    """Follows the tasks of a plan, from several threads, and says how far it has come.

    Args:
        plan: the tasks.
        steps: the optimizer steps of each.
        jobs: how many are done at once.
        command: the command line, for ``plan.json``.
        store: where that file goes; None for nowhere.
        clock: gives seconds.
    """

    def __init__(
        self, plan: "Plan", steps: "Mapping[Task, int]", jobs: int, command: str = "", store: Store | None = None,
        clock: Clock = time.monotonic,
    ) -> None:  # fmt: skip
        self.plan, self.jobs, self.command, self.store, self.clock = plan, jobs, command, store, clock
        self.states: dict[Hashable, str] = dict.fromkeys(plan, WAITING)
        self.left_of: dict[Hashable, int] = {task: steps[task] for task in steps}
        self.trainings: set[Hashable] = {task for task in steps if steps[task]}
        self.meter = Throughput(sum(steps.values()), clock=clock)
        self.training_time = 0.0  # seconds that tasks with steps have taken, each counted by itself
        self.others: dict[type, list[float]] = {}  # seconds of each task without steps, by its kind
        self.since: dict[Hashable, float] = {}
        self.lock = threading.RLock()
        self.written = -BETWEEN_WRITES
        self.pause = 0.0  # seconds, also for what has begun or ended

    # What it hears ---------------------------------------------------------------------------------------------

    def hear(self, event: Event) -> None:
        with self.lock:
            match event:
                case Began(task) if task in self.states:
                    self.states[task], self.since[task] = RUNNING, self.clock()
                    self.write(now=True)
                case Advanced(task, steps) if task in self.states:
                    counted = min(steps, self.left_of.get(task, 0))  # a branch may train longer than its level
                    self.left_of[task] = self.left_of.get(task, 0) - counted
                    self.meter.advance(counted)
                    self.write()
                case Ended(task, failed, skipped) if task in self.states:
                    self.end(task, failed, skipped)
                    self.write(now=True)

    def end(self, task: Hashable, failed: bool, skipped: Sequence[Hashable]) -> None:
        took = self.clock() - self.since.pop(task, self.clock())
        if task in self.trainings:
            self.training_time += took
        elif not failed:
            self.others.setdefault(type(task), []).append(took)
        for one in (task, *skipped):
            self.states[one] = FAILED if failed else DONE
            self.meter.total -= self.left_of.get(one, 0)  # taken by an earlier attempt, or never to be
            self.left_of[one] = 0

    # What it says ----------------------------------------------------------------------------------------------

    def count(self, state: str) -> int:
        return list(self.states.values()).count(state)

    @property
    def seconds_left(self) -> float | None:
        """The time until all tasks are done, given what waits for what; None before the first steps.

        Steps take as long as they have taken on average, tasks without steps as long as those of their kind.
        """
        now = self.clock()
        taken = self.training_time + sum(now - self.since[task] for task in self.since if task in self.trainings)
        if not self.meter.done or not taken:
            return None
        second_a_step = taken / self.meter.done

        def seconds(task: Hashable) -> float:
            if task in self.trainings:
                return self.left_of[task] * second_a_step
            known = self.others.get(type(task), [])
            return max(sum(known) / len(known) - (now - self.since.get(task, now)), 0.0) if known else 0.0

        open_tasks = [task for task in self.plan if self.states[task] in (WAITING, RUNNING)]
        at_once = max(self.jobs, self.count(RUNNING))  # a cluster may have room for more than we know of
        return makespan(open_tasks, self.plan.before, seconds, at_once)

    def text(self) -> str:
        """``task 3 of 12, 24%, 0:24:10 left``; where several run at once ``2 of 12 tasks done, 4 running, 24%, ...``.

        Nothing for a single task.
        """
        if len(self.plan) < 2:
            return ""
        with self.lock:
            share = [f"{self.meter.done / self.meter.total:.0%}"] if self.meter.total else []
            return ", ".join([*self.counts(), *share, *(f"{part} in all" for part in left(self.seconds_left))])

    def counts(self) -> list[str]:
        done, running, failed = (self.count(state) for state in (DONE, RUNNING, FAILED))
        if running < 2:
            return [f"task {min(done + failed + 1, len(self.plan))} of {len(self.plan)}"]
        bad, speed = [f"{failed} failed"] if failed else [], f"{self.meter.per_second:.0f} steps/s"
        return [f"{done} of {len(self.plan)} tasks done", f"{running} running", *bad, speed]

    def file(self) -> "PlanFile":
        """Return the same for other processes."""
        with self.lock:
            counts = {state: self.count(state) for state in (DONE, RUNNING, FAILED, WAITING)}
            return PlanFile(
                command=self.command, tasks=len(self.plan), steps=self.meter.total, steps_done=self.meter.done,
                steps_a_second=self.meter.per_second, seconds_left=self.seconds_left, **counts,
            )  # fmt: skip

    def write(self, now: bool = False) -> None:
        """Write ``plan.json``, at most every two seconds unless a task has begun or ended.

        It takes a twentieth of the time at most, since a plan of thousands of tasks is gone through each time.
        """
        began = self.clock()
        if self.store is None or began - self.written < (self.pause if now else BETWEEN_WRITES):
            return
        with contextlib.suppress(OSError):  # a full disk is what the task itself will name
            self.file().write(self.store)
        self.written = self.clock()
        self.pause = 20 * (self.written - began)


def makespan(
    tasks: Iterable[Any], before: Mapping[Any, Sequence[Any]], seconds: Callable[[Any], float], jobs: int
) -> float:
    """Return the time that tasks take when so many are done at once, each once those it waits for have ended.

    Args:
        tasks: in the order in which they are begun.
        before: what each waits for; tasks that are not among ``tasks`` have ended.
        seconds: how long each takes.
        jobs: how many are done at once.
    """
    order = {task: place for place, task in enumerate(tasks)}
    sorter = TopologicalSorter({task: [one for one in before[task] if one in order] for task in order})
    sorter.prepare()
    waiting: list[int] = []
    names = list(order)
    running: list[tuple[float, int]] = []
    now = 0.0
    while sorter.is_active():
        for task in sorter.get_ready():
            heapq.heappush(waiting, order[task])
        while waiting and len(running) < jobs:
            place = heapq.heappop(waiting)
            heapq.heappush(running, (now + seconds(names[place]), place))
        now, place = heapq.heappop(running)
        sorter.done(names[place])
    return now


# As files ----------------------------------------------------------------------------------------------------------


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
    """Remove the directories of plans whose process was killed."""
    for path in sorted((root / files.PLANS).glob("*_*")):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError), hold_all([path]) as free:
                if free:
                    Store(path).remove()
    remove_empty(root / files.PLANS)


def remove_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):  # that of another command lies there, or there is none
        directory.rmdir()


def running_plans(root: Path | str) -> Iterator[PlanFile]:
    """Yield the plans of processes that are at work. One that cannot be read, since it is just ending, is left out."""
    for path in sorted((Path(root) / files.PLANS).glob(f"*/{files.PLAN}")):
        store = Store(path.parent)
        with contextlib.suppress(UsageError, TypeError, OSError):
            if store.locked:
                yield PlanFile(**store.read_json(files.PLAN))
