"""Engines, the rule for failure that all of them keep, and the order of tasks that run at once.

A task that fails is tried once more, from its checkpoint; one that was refused (bad input, no permission) is not, since
it would be refused again. What depends on a failed task is skipped and listed; everything else goes on.
"""

import contextlib
import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import Any

from experiments.run.plan import Plan
from experiments.run.plan_progress import PlanProgress, remove_empty, remove_ended_plans, store_of_plan
from experiments.run.progress import fitted
from experiments.run.tasks import Task
from experiments.workspace import Workspace
from foundations.errors import UsageError
from foundations.registry import Registry
from foundations.reporting import Advanced, Began, Ended, EpochEnded, Reporter, StatusLine, Whole


@dataclass(frozen=True)
class Failure:
    """A task that could not be done.

    Args:
        task: which.
        reason: a line or two for people.
        refused: whether it is for the user to correct, rather than a defect or an accident.
        details: a traceback, or the last words of a process.
        skipped: the tasks that were skipped since they depend on it.
        exit_code: the command line's, if the task was refused.
        tried_again: whether it was tried once more already.
    """

    task: Task
    reason: str
    refused: bool
    details: str = ""
    skipped: tuple[Task, ...] = ()
    exit_code: int = UsageError.exit_code
    tried_again: bool = False


class Failed(Exception):
    """Tasks that could not be done; everything that does not depend on them was."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__("\n".join(f"{failure.task.label}: {failure.reason}" for failure in failures))
        self.failures = list(failures)


Engine = Callable[[Plan, Workspace], list[Failure]]
"""Does all tasks of a plan that can be done; says how it goes through ``session.context.reporter``."""

engines: Registry[Engine] = Registry("engine", "engine")


def run_plan(plan: Plan, session: Workspace) -> list[Failure]:
    """Have the session's engine do the tasks of a plan; return those that failed.

    Meanwhile ``plan.json`` below the root says how far it has come.
    """
    context = session.context
    remove_ended_plans(context.root)
    if not len(plan):
        return []
    store = store_of_plan(context.root)
    progress = PlanProgress(plan, plan.steps(session), session.jobs, command_text(context.command), store)
    with store.lock(Reporter()), session.reporters.also(progress), session.reporters.during(Whole(progress.text)):
        try:
            return engines.get(session.options.engine)(plan, session)
        finally:
            store.remove()
            remove_empty(store.path.parent)


def command_text(command: Sequence[str]) -> str:
    """Return the command and the branch, without flags."""
    return " ".join(itertools.takewhile(lambda token: not token.startswith("-"), command))


def failure_of(task: Task, answer: Mapping[str, Any], tried_again: bool = False) -> Failure | None:
    """Return how a task failed by the last line of the process that did it (see ``serve``), if it did."""
    if answer["ended"] == "done":
        return None
    known = {name: answer[name] for name in ("details", "exit_code") if name in answer}
    return Failure(task, answer["reason"], answer["refused"], tried_again=tried_again, **known)


@contextlib.contextmanager
def heard(task: Task, reporter: Reporter) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Inside, a line shows how far a task is; yields what takes the messages of the process that does it."""
    at = ""

    def hear(answer: Mapping[str, Any]) -> None:
        nonlocal at
        at = answer.get("line", at)
        if "warning" in answer:
            reporter.warn(f"{task.label}: {answer['warning']}")
        if "epoch" in answer:
            reporter.hear(EpochEnded(answer["epoch"], bool(answer.get("last"))))
        if "steps" in answer:
            reporter.hear(Advanced(task, answer["steps"]))

    with reporter.during(StatusLine(lambda width: fitted([task.label, task.part], at, width))):
        yield hear


class Dispatcher:
    """Does so many tasks of a plan at once, each in a thread of its own.

    Args:
        plan: the tasks.
        at_once: how many are done at once.
        do: does a task in the thread that it is called in; how it failed, if it did.
        stop: called when an exception (an interruption) ends all: makes every ``do`` that runs return soon.
        reporter: shows the progress.
        begins: whether a task has begun when ``do`` is called; if not, since it waits for a place in a cluster, ``do``
            tells the reporter.
    """

    def __init__(
        self, plan: Plan, at_once: int, do: Callable[[Task], Failure | None], stop: Callable[[], None],
        reporter: Reporter, *, begins: bool = True,
    ) -> None:  # fmt: skip
        self.plan, self.at_once, self.do, self.stop, self.reporter = plan, at_once, do, stop, reporter
        self.begins = begins
        self.sorter = TopologicalSorter(plan.before)
        self.places = {task: place for place, task in enumerate(plan)}
        self.ready: list[tuple[int, Task]] = []  # a heap: those that come first in the plan are done first
        self.ended: set[Task] = set()  # done, failed or skipped
        self.tried_again: set[Task] = set()
        self.failures: list[Failure] = []

    def run(self) -> list[Failure]:
        """Do all that can be done. An exception is raised once every ``do`` has returned."""
        running: dict[Future[Failure | None], Task] = {}
        self.sorter.prepare()
        self.collect_ready()
        with ThreadPoolExecutor(self.at_once) as threads:
            try:
                while self.ready or running:
                    while self.ready and len(running) < self.at_once:
                        _, task = heapq.heappop(self.ready)
                        if self.begins:
                            self.reporter.hear(Began(task))
                        running[threads.submit(self.do, task)] = task
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self.note(running.pop(future), future.result())
            except BaseException:
                self.stop()
                raise
        return self.failures

    def collect_ready(self) -> None:
        while tasks := self.sorter.get_ready():
            for task in tasks:
                if task in self.ended:
                    self.sorter.done(task)
                else:
                    heapq.heappush(self.ready, (self.places[task], task))

    def note(self, task: Task, failure: Failure | None) -> None:
        if failure is not None and not (failure.refused or failure.tried_again or task in self.tried_again):
            self.tried_again.add(task)
            heapq.heappush(self.ready, (self.places[task], task))
            self.reporter.warn(f"{task.label}: {failure.reason}; trying once more")
            return
        self.ended.add(task)
        if failure is None:
            self.reporter.hear(Ended(task))
            outcome = "done"
        else:
            skipped = tuple(other for other in self.plan.standing_on(task) if other not in self.ended)
            self.ended.update(skipped)
            self.failures.append(replace(failure, skipped=skipped))
            self.reporter.hear(Ended(task, failed=True, skipped=skipped))
            outcome = "failed"
        self.reporter.say(f"{len(self.ended)} of {len(self.plan)}, {task.label}: {outcome}")
        self.sorter.done(task)
        self.collect_ready()
