"""A Slurm cluster: everything is submitted at once, an array for each layer of the plan, and then watched.

Slurm itself keeps the order (``afterany``), so that no allocation waits for another one, and jobs go on without the
command. A job that finds what it waits for not done ends at once: what stands on a failure is skipped, nothing else.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence

from experiments.run.engine import Failure, Schedule, engines
from experiments.run.plan import Plan
from experiments.run.progress import fitted
from experiments.run.slurm_jobs import (
    DONE,
    ENDED,
    FAILED,
    RUNNING,
    SKIPPED,
    JobAnswer,
    JobFile,
    JobRecord,
    SlurmJob,
    record_of,
    records,
)
from experiments.run.slurm_queue import SlurmQueue
from experiments.run.tasks import Task
from experiments.workspace import Workspace
from foundations import files
from foundations.store import Store

PAUSE = 2.0  # seconds between two looks at what a job says
LOOKS = 2
"""How often in a row a job must be missing from the queue, and its answer from the disk, before it counts as lost."""


@engines.register("slurm")
def run(plan: Plan, session: Workspace) -> list[Failure]:
    """Submits what is not queued yet; then watches, unless ``session.options.detach``."""
    root, reporter = session.context.root.absolute(), session.context.reporter
    jobs = Jobs(plan, session, SlurmQueue(root / files.SLURM / files.LOGS, session.options))
    with jobs.alone():
        kept = jobs.kept()
        jobs.submit([task for task in plan if task not in kept])
    submitted = len(plan) - len(kept)
    reporter.say(f"{len(plan)} tasks: {submitted} submitted to Slurm, {len(kept)} queued or running already")
    if session.options.detach:
        reporter.say("They go on without this command; given again, it shows what came of them. See list --watch.")
        return []
    try:
        return Schedule(plan, len(plan), jobs.do, jobs.stopped.set, reporter, begins=False).run()
    except KeyboardInterrupt:
        reporter.say(f"The jobs go on; the same command watches them again, scancel ends them: {jobs.numbers()}")
        raise
    finally:
        jobs.forget()


class Jobs:
    """The jobs of a plan's tasks."""

    def __init__(self, plan: Plan, session: Workspace, queue: SlurmQueue) -> None:
        self.plan, self.queue = plan, queue
        self.root, self.reporter = session.context.root.absolute(), session.context.reporter
        self.store = Store(self.root / files.SLURM)
        self.logs = self.store.sub(files.LOGS)
        self.entries, self.steps = session.entries_elsewhere(), plan.steps(session)
        self.records = {task: record_of(task.entries(), self.root) for task in plan}
        self.behind: dict[Task, list[Task]] = {}
        for task in plan:
            for other in plan.before[task]:
                self.behind.setdefault(other, []).append(task)
        self.lost: set[Task] = set()
        self.obstacles: set[str] = set()
        self.pause = PAUSE * max(1.0, len(plan) / 200)  # of all threads together some hundred looks a second at most
        self.stopped = threading.Event()
        self.submitting = threading.Lock()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, no other command submits, nor does another thread of this one.

        The lock is that of the directory of logs: who holds a directory deletes what killed writers have left below
        it, and jobs that run write their answers without a lock.
        """
        with self.submitting, self.logs.lock(self.reporter):
            yield

    # Submitting ----------------------------------------------------------------------------------------------

    def kept(self) -> set[Task]:
        """Tasks whose jobs another command has submitted; one that would find nothing to stand on is taken back."""
        kept: set[Task] = set()
        paths: set[str] = set()
        for task in self.plan:
            record = self.records[task]
            job = record.job
            if job is None or record.answer.state in ENDED or not self.queue.alive(job.job):
                continue
            if all(path in paths or JobRecord(self.store / path).answer.state == DONE for path in job.after):
                kept.add(task)
                paths.add(record.path.name)
            else:
                self.queue.cancel([job.job])
        return kept

    def submit(self, tasks: Sequence[Task]) -> None:
        """Submits tasks by layers, each waiting for those before it that are not done."""
        for layer in layers(tasks, self.plan.before):
            before = dict.fromkeys(other for task in layer for other in self.waits_for(task))
            numbers = self.queue.submit(
                [self.job(task) for task in layer],
                [job.job for other in before if (job := self.records[other].job) is not None],
            )
            for task, number in zip(layer, numbers, strict=True):
                after = [self.records[other].path.name for other in self.plan.before[task]]
                self.records[task].submitted(
                    JobFile(job=number, label=task.label, steps=self.steps[task], after=after)
                )

    def waits_for(self, task: Task) -> list[Task]:
        """The tasks whose jobs are to end first; also those further along the same track that are queued already."""
        return [other for other in (*self.plan.before[task], *self.behind.get(task, ())) if self.in_queue(other)]

    def in_queue(self, task: Task) -> bool:
        """Whether the task's job waits or runs."""
        job = self.records[task].job
        return job is not None and self.queue.alive(job.job)

    def job(self, task: Task) -> SlurmJob:
        """What a job is to do. What an earlier one has said of the task is forgotten."""
        record = self.records[task]
        record.store.remove()
        after = [self.records[other].path for other in self.plan.before[task]]
        return SlurmJob(record.path, task.entries(), self.entries, after)

    # Watching ------------------------------------------------------------------------------------------------

    def do(self, task: Task) -> Failure | None:
        """Waits until a task's job has ended, in a thread of its own; a job that has come to nothing is replaced."""
        record = self.records[task]
        if self.missing(task):
            with self.alone():
                if self.missing(task):  # still: no other command has submitted it meanwhile
                    self.submit([task])
        return Watch(task, record, self).run()

    def missing(self, task: Task) -> bool:
        """Whether nobody does a task, since its job was lost, or was skipped when what it waits for had failed."""
        state = self.records[task].answer.state
        return state == SKIPPED or (task in self.lost and state not in ENDED and not self.in_queue(task))

    def say_obstacle(self, task: Task) -> None:
        """Warns of what keeps jobs from starting, once for all of them: the command would wait in silence for ever."""
        job = self.records[task].job
        reason = self.queue.obstacle(job.job) if job is not None else ""
        if job is not None and reason and reason not in self.obstacles:
            self.obstacles.add(reason)
            self.reporter.warn(f"Job {job.job} ({task.label}) does not start: Slurm says {reason}; see squeue")

    def numbers(self) -> str:
        """The numbers of the jobs and arrays that wait or run."""
        jobs = [job.job for record in self.records.values() if (job := record.job) is not None]
        return " ".join(dict.fromkeys(job.partition("_")[0] for job in jobs if self.queue.alive(job)))

    def forget(self) -> None:
        """Removes what lies on the disk of jobs whose tasks are done, and for which no other waits."""
        with self.alone():
            found = [(record, job, record.answer.state) for record in records(self.root) if (job := record.job)]
            needed = {path for _, job, state in found if state not in ENDED for path in job.after}
            for record, job, state in found:
                if state == DONE and record.path.name not in needed:
                    self.queue.forget(job.job)
                    record.store.remove()
            if not any(records(self.root)):
                self.queue.forget()


class Watch:
    """What is seen of one task's job."""

    def __init__(self, task: Task, record: JobRecord, jobs: Jobs) -> None:
        self.task, self.record, self.jobs = task, record, jobs
        self.said = JobAnswer()

    def run(self) -> Failure | None:
        """Until it has ended; how it failed, if it did."""
        missing, looks = 0, -1
        with self.jobs.reporter.line(lambda width: fitted([self.task.label, self.task.part], self.said.line, width)):
            while not self.jobs.stopped.is_set():
                self.pass_on(self.record.answer)
                if self.said.state in ENDED:
                    return self.failure()
                alive = self.jobs.in_queue(self.task)
                if looks != self.jobs.queue.looks:
                    looks, missing = self.jobs.queue.looks, 0 if alive else missing + 1
                    self.jobs.say_obstacle(self.task)
                if missing > LOOKS:
                    return self.lost()
                self.jobs.stopped.wait(self.jobs.pause)
        return Failure(self.task, "not watched any more", refused=True)

    def pass_on(self, answer: JobAnswer) -> None:
        """What is new goes to the reporter."""
        reporter, before = self.jobs.reporter, self.said
        if answer.state == RUNNING and before.state != RUNNING:
            reporter.begun(self.task)
        for warning in answer.warnings[len(before.warnings) :]:
            reporter.warn(f"{self.task.experiment}: {warning}")
        if answer.first_failure != before.first_failure:
            reporter.warn(f"{self.task.label}: {answer.first_failure}; trying once more")
        if answer.steps > before.steps:
            reporter.advanced(self.task, answer.steps - before.steps)
        self.said = answer

    def failure(self) -> Failure | None:
        """How it failed by its own words."""
        said = self.said
        if said.state == DONE:
            return None
        tried_again = said.state == FAILED  # in the job; a job that was skipped has not tried
        return Failure(self.task, said.reason, said.refused, said.details, (), said.exit_code, tried_again)

    def lost(self) -> Failure:
        """The job is gone without a word: cancelled, or ended from outside."""
        job = self.record.job
        number = "" if job is None else job.job
        self.jobs.lost.add(self.task)
        state = self.jobs.queue.state(number)
        if state.startswith("CANCELLED") or (state == "COMPLETED" and self.said.state != RUNNING):
            return Failure(self.task, f"its job {number} was cancelled", refused=True, exit_code=1)
        reason = f"its job {number} ended without a result ({state.lower() or 'unknown to Slurm'})"
        return Failure(self.task, reason, refused=False, details=self.jobs.queue.last_words(number))


def layers(tasks: Sequence[Task], before: Mapping[Task, Sequence[Task]]) -> list[list[Task]]:
    """Tasks by how many stand below them, one on the other; each list waits for those before it only."""
    depth: dict[Task, int] = {}
    for task in tasks:  # those that it waits for come first
        depth[task] = 1 + max((depth[other] for other in before[task] if other in depth), default=-1)
    return [[task for task in tasks if depth[task] == level] for level in range(max(depth.values(), default=-1) + 1)]
