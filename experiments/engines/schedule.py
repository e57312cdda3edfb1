"""In which order a plan's tasks are done where several are done at once, and what becomes of those that fail."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace

from experiments.engines.registry import Failure
from experiments.plan import Plan
from experiments.tasks import Task
from foundations.reporting import Reporter


class Schedule:
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
        self.ended: set[Task] = set()  # done, failed or skipped
        self.started: set[Task] = set()
        self.tried_again: set[Task] = set()
        self.failures: list[Failure] = []

    def run(self) -> list[Failure]:
        """Does all that can be done. An exception is raised once every ``do`` has returned."""
        running: dict[Future[Failure | None], Task] = {}
        with ThreadPoolExecutor(self.at_once) as threads:
            try:
                while len(self.ended) < len(self.plan):
                    for task in self.ready()[: self.at_once - len(running)]:
                        self.started.add(task)
                        if self.begins:
                            self.reporter.begun(task)
                        running[threads.submit(self.do, task)] = task
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self.note(running.pop(future), future.result())
            except BaseException:
                self.stop()
                raise
        return self.failures

    def ready(self) -> list[Task]:
        """The tasks that wait for nothing any more, in the order of the plan."""
        return [
            task for task in self.plan
            if task not in self.started and task not in self.ended and self.ended.issuperset(self.plan.before[task])
        ]  # fmt: skip

    def note(self, task: Task, failure: Failure | None) -> None:
        """A task has ended."""
        if failure is not None and not (failure.refused or failure.tried_again or task in self.tried_again):
            self.tried_again.add(task)
            self.started.discard(task)
            self.reporter.warn(f"{task.label}: {failure.reason}; trying once more")
            return
        self.ended.add(task)
        if failure is None:
            self.reporter.ended(task, failed=False)
            self.reporter.say(f"{len(self.ended)} of {len(self.plan)}, {task.label}: done")
            return
        skipped = tuple(other for other in self.plan.standing_on(task) if other not in self.ended)
        self.ended.update(skipped)
        self.failures.append(replace(failure, skipped=skipped))
        self.reporter.ended(task, failed=True, skipped=skipped)
        self.reporter.say(f"{len(self.ended)} of {len(self.plan)}, {task.label}: failed")
