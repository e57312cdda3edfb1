"""Several processes on this machine, each of which imports PyTorch once and does many tasks."""

from collections.abc import Callable
from queue import LifoQueue

from experiments.run import in_process
from experiments.run.engine import Dispatcher, Failure, engines, failure_of, pass_on
from experiments.run.plan import Plan
from experiments.run.progress import fitted
from experiments.run.task_process import Answer, TaskProcess
from experiments.run.tasks import Task
from experiments.workspace import Workspace
from foundations.reporting import StatusLine


@engines.register("local")
def run(plan: Plan, session: Workspace) -> list[Failure]:
    """Run ``session.jobs`` tasks at a time; one alone needs no process of its own."""
    jobs = min(session.jobs, len(plan))
    if jobs < 2:
        return in_process.run(plan, session)
    reporter = session.context.reporter
    reporter.say(f"{len(plan)} tasks in {jobs} processes at once")
    # The threads of the schedule wait for the workers, which `release` ends.
    return Dispatcher(plan, jobs, Pool(session, jobs).do, session.release, reporter).run()


class Pool:
    """The workers, each of which does a task at a time."""

    def __init__(self, session: Workspace, jobs: int) -> None:
        self.idle: LifoQueue[Worker] = LifoQueue()  # the last one to have worked first: its process runs already
        for worker in workers_of(session, jobs):
            self.idle.put(worker)

    def do(self, task: Task) -> Failure | None:
        worker = self.idle.get()
        try:
            return worker.do_task(task)
        finally:
            self.idle.put(worker)


def workers_of(session: Workspace, number: int) -> "list[Worker]":
    """Return so many workers; those of the session's last plan first, since a start takes seconds."""
    session.workers += [Worker(session) for _ in range(number - len(session.workers))]
    return list(session.workers[:number])


class Worker(TaskProcess):
    """A child process that reports to a session's reporter."""

    def __init__(self, session: Workspace) -> None:
        super().__init__(session.entries())
        self.reporter = session.context.reporter
        self.at = ""

    def do_task(self, task: Task) -> Failure | None:
        """Have a task done; return how it failed, if it did."""
        with self.reporter.during(StatusLine(self.line(task))):
            return failure_of(task, self.do(task.entries(), lambda answer: self.pass_on(task, answer)))

    def line(self, task: Task) -> Callable[[int], str]:
        self.at = ""
        return lambda width: fitted([task.label, task.part], self.at, width)

    def pass_on(self, task: Task, answer: Answer) -> None:
        self.at = answer.get("line", self.at)
        pass_on(task, answer, self.reporter)
