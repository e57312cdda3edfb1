"""Several processes on this machine, each of which imports PyTorch once and does many tasks."""

from queue import LifoQueue

from experiments.run import in_process
from experiments.run.engine import Dispatcher, Failure, engines, failure_of, heard
from experiments.run.plan import Plan
from experiments.run.task_process import TaskProcess
from experiments.run.tasks import Task
from experiments.workspace import Workspace


@engines.register("local")
def run(plan: Plan, session: Workspace) -> list[Failure]:
    """Run ``session.jobs`` tasks at a time; one alone needs no process of its own."""
    jobs = min(session.jobs, len(plan))
    if jobs < 2:
        return in_process.run(plan, session)
    reporter = session.context.reporter
    reporter.say(f"{len(plan)} tasks in {jobs} processes at once")
    idle: LifoQueue[TaskProcess] = LifoQueue()  # the last one to have worked first: its process runs already
    session.workers += [TaskProcess(session.entries()) for _ in range(jobs - len(session.workers))]
    for worker in session.workers[:jobs]:  # those of the session's last plan first, since a start takes seconds
        idle.put(worker)

    def do(task: Task) -> Failure | None:
        worker = idle.get()
        try:
            with heard(task, reporter) as hear:
                return failure_of(task, worker.do(task.entries(), hear))
        finally:
            idle.put(worker)

    # The threads of the schedule wait for the workers, which `release` ends.
    return Dispatcher(plan, jobs, do, session.release, reporter).run()
