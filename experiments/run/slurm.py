"""A Slurm cluster: everything is submitted at once (by ``submitit``), an array for each layer of the plan, and watched.

Slurm itself keeps the order (``afterany``), so that no allocation waits for another one, and jobs go on without the
command. A job that finds what it waits for not done ends at once: what stands on a failure is skipped, nothing else.
"""

import contextlib
import getpass
import io
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.options import SessionOptions
from experiments.run.engine import Dispatcher, Failure, engines, needed
from experiments.run.plan import Plan
from experiments.run.progress import fitted
from experiments.run.slurm_jobs import DONE, ENDED, FAILED, RUNNING, SKIPPED, JobAnswer, SlurmJob, record_of
from experiments.run.task_process import MAIN
from experiments.run.tasks import Task
from experiments.workspace import Workspace
from foundations import files
from foundations.errors import UsageError
from foundations.reporting import Advanced, Began, StatusLine
from foundations.store import Store

PAUSE = 2.0  # seconds between two looks at what a job says
BETWEEN_LOOKS = 5.0  # seconds between two calls of squeue
LOOKS = 2
"""How often in a row a job must be missing from the queue, and its answer from the disk, before it counts as lost."""
LARGEST_ARRAY = 1000
"""Slurm's own default of MaxArraySize is 1001."""
MOST_TIMES = 10_000
"""How often a job may come to its time limit. One that takes no step is given up long before."""
DEFAULT_MINUTES = 60
NOT_SUBMITTED = "[0-9a-f]" * 32 + ".pkl"
"""What is to be done by a job that has no number yet."""
OVER = frozenset({
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
})  # fmt: skip
"""States of jobs that come to nothing more; Slurm forgets them after some minutes."""


@engines.register("slurm")
def run(plan: Plan, session: Workspace) -> list[Failure]:
    """Submit what is not queued yet; then watch, unless ``session.options.detach``."""
    reporter = session.context.reporter
    jobs = Jobs(plan, session, SlurmQueue(session.context.root.absolute() / files.SLURM / files.LOGS, session.options))
    new = jobs.submit_missing()
    reporter.say(f"{len(plan)} tasks: {new} submitted to Slurm, {len(plan) - new} queued or running already")
    if session.options.detach:
        reporter.say("They go on without this command; given again, it shows what came of them. See list --watch.")
        return []
    try:
        return Dispatcher(plan, len(plan), jobs.do, jobs.stopped.set, reporter, begins=False).run()
    except KeyboardInterrupt:
        reporter.say("The jobs go on; the same command watches them again, scancel --name=adsynflow ends them.")
        raise
    finally:
        jobs.forget()


class Jobs:
    """The jobs of a plan's tasks."""

    def __init__(self, plan: Plan, session: Workspace, queue: "SlurmQueue") -> None:
        self.plan, self.queue, self.reporter = plan, queue, session.context.reporter
        root = session.context.root.absolute()
        self.logs = Store(root / files.SLURM / files.LOGS)
        self.entries, self.steps = session.entries_elsewhere(), plan.steps(session)
        self.records = {task: record_of(task.entries(), root) for task in plan}
        self.pause = PAUSE * max(1.0, len(plan) / 200)  # of all threads together some hundred looks a second at most
        self.lost: set[Task] = set()
        self.stopped = threading.Event()
        self.submitting = threading.Lock()

    def submit_missing(self) -> int:
        """Submit the tasks that no job will do, by layers; return how many there were."""
        with self.submitting, self.logs.lock(self.reporter):  # another command may submit at the same time
            missing = [task for task in self.plan if not self.queued(task)]
            for layer in layers(missing, self.plan.before):
                self.submit(layer)
        return len(missing)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Submit tasks as an array that waits for the jobs of all that one of them waits for."""
        before = dict.fromkeys(other for task in tasks for other in self.plan.before[task] if self.queued(other))
        works = []
        for task in tasks:
            record = self.records[task]
            record.store.remove()  # what an earlier job has said
            after = [self.records[other].path for other in self.plan.before[task]]
            works.append(SlurmJob(record.path, task.label, task.entries(), self.entries, after))
        numbers = self.queue.submit(works, [self.number(task) for task in before])
        for task, number in zip(tasks, numbers, strict=True):
            self.records[task].submitted(number, task.label, self.steps[task])

    def number(self, task: Task) -> str:
        """Return the number of the task's job; empty if it has none."""
        return str(self.records[task].job["job"])

    def queued(self, task: Task) -> bool:
        """Whether a job waits for its turn, or runs, that will do the task."""
        return self.queue.alive(self.number(task)) and self.records[task].answer.state not in ENDED

    def do(self, task: Task) -> Failure | None:
        """Wait, in a thread of its own, until a task's job has ended; one that has come to nothing is replaced."""
        if self.records[task].answer.state == SKIPPED or task in self.lost:
            with self.submitting, self.logs.lock(self.reporter):
                if not self.queued(task):  # by another command, meanwhile
                    self.submit([task])
        said, missing, looks = JobAnswer(), 0, -1
        with self.reporter.during(StatusLine(lambda width: fitted([task.label, task.part], said.line, width))):
            while not self.stopped.is_set():
                before, said = said, self.records[task].answer
                self.pass_on(task, before, said)
                if said.state == DONE:
                    return None
                if said.state in ENDED:  # a job that has failed has tried twice, one that was skipped not at all
                    tried_again = said.state == FAILED
                    return Failure(task, said.reason, said.refused, said.details, (), said.exit_code, tried_again)
                alive = self.queue.alive(self.number(task))
                if looks != self.queue.looks:
                    looks, missing = self.queue.looks, 0 if alive else missing + 1
                if missing > LOOKS:
                    return self.failure_of_lost(task, said)
                self.stopped.wait(self.pause)
        return Failure(task, "not watched any more", refused=True)

    def pass_on(self, task: Task, before: JobAnswer, said: JobAnswer) -> None:
        if said.state == RUNNING and before.state != RUNNING:
            self.reporter.hear(Began(task))
        for warning in said.warnings[len(before.warnings) :]:
            self.reporter.warn(warning)
        if said.steps > before.steps:
            self.reporter.hear(Advanced(task, said.steps - before.steps))

    def failure_of_lost(self, task: Task, said: JobAnswer) -> Failure:
        """Return why a job is gone without a word: cancelled, or ended from outside."""
        number = self.number(task)
        state = self.queue.state(number)
        self.lost.add(task)
        if state.startswith("CANCELLED") or (state == "COMPLETED" and said.state != RUNNING):
            return Failure(task, f"its job {number} was cancelled", refused=True, exit_code=1)
        why = state.lower() or "unknown to Slurm"
        return Failure(task, f"its job {number} ended without a result ({why}); see {self.logs.path}", refused=False)

    def forget(self) -> None:
        """Remove what lies on the disk of jobs that are done."""
        states = {task: self.records[task].answer.state for task in self.plan}
        asked = {other for task, state in states.items() if state not in ENDED for other in self.plan.before[task]}
        for task, state in states.items():
            if state == DONE and task not in asked:
                self.queue.forget(self.number(task))
                self.records[task].store.remove()


def layers(tasks: Sequence[Task], before: Mapping[Task, Sequence[Task]]) -> list[list[Task]]:
    """Sort tasks into layers, each of which waits for those before it only."""
    found: list[list[Task]] = []
    depth: dict[Task, int] = {}
    for task in tasks:  # those that it waits for come first
        depth[task] = 1 + max((depth[other] for other in before[task] if other in depth), default=-1)
        if depth[task] == len(found):
            found.append([])
        found[depth[task]].append(task)
    return found


class SlurmQueue:
    """The cluster that this machine submits to.

    Args:
        folder: for the jobs' scripts and output.
        options: resources of each job.

    Raises:
        UsageError: there is no Slurm here, ``submitit`` is not installed, or an option does not suit.
    """

    def __init__(self, folder: Path, options: SessionOptions) -> None:
        self.folder, self.parameters = folder, parameters(options)
        self.lock = threading.Lock()
        self.looked, self.looks = -BETWEEN_LOOKS, 0
        self.states: dict[str, str] = {}
        if shutil.which("sbatch") is None:
            raise UsageError("--engine=slurm: there is no sbatch here; give the command on a login node of a cluster")
        self.executor()  # refuses what does not suit

    def executor(self, **more: str) -> Any:
        of_slurm = needed("submitit", "slurm").SlurmExecutor
        executor, known = of_slurm(self.folder, max_num_timeout=MOST_TIMES), of_slurm._valid_parameters()
        given = {**self.parameters, **more}
        others = {name: given.pop(name) for name in list(given) if name not in known}
        executor.update_parameters(**given, additional_parameters=others)
        return executor

    def submit(self, jobs: Sequence[SlurmJob], after: Sequence[str]) -> list[str]:
        """Submit jobs as arrays that wait for the jobs ``after`` to end, however they do; return their numbers."""
        numbers: list[str] = []
        for first in range(0, len(jobs), LARGEST_ARRAY):
            executor = self.executor(**({"dependency": f"afterany:{':'.join(after)}"} if after else {}))
            try:
                with contextlib.redirect_stderr(io.StringIO()), executor.batch():  # submitit prints sbatch's words, too
                    submitted = [executor.submit(job) for job in jobs[first : first + LARGEST_ARRAY]]
                numbers += [job.job_id for job in submitted]
            except Exception as error:
                for path in [*self.folder.glob(".submission_file_*"), *self.folder.glob(NOT_SUBMITTED)]:
                    path.unlink(missing_ok=True)
                lines = str(error).strip().splitlines() or [type(error).__name__]
                said = next((line for line in lines if "sbatch: error" in line), lines[-1])
                raise UsageError(f"--engine=slurm: the jobs could not be submitted: {said}") from error
        self.states.update(dict.fromkeys(numbers, "PENDING"))
        return numbers

    def state(self, number: str) -> str:
        """Return the state of a job, such as ``PENDING``, some seconds old; empty if Slurm knows it no more."""
        with self.lock:
            if time.monotonic() - self.looked >= BETWEEN_LOOKS:
                self.look()
            return self.states.get(number, "")

    def look(self) -> None:
        """Ask for the states of all jobs; without an answer, as during a restart of Slurm, the last ones stay."""
        self.looked = time.monotonic()
        command = ["squeue", "--noheader", "--array", "--states=all", f"--user={getpass.getuser()}", "--format=%i|%T"]
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        except (subprocess.SubprocessError, OSError):
            return
        self.looks += 1
        self.states = dict(line.strip().split("|", 1) for line in said.stdout.splitlines() if "|" in line)

    def alive(self, number: str) -> bool:
        return self.state(number) not in {"", *OVER}

    def forget(self, number: str) -> None:
        """Remove what lies on the disk of jobs that are done."""
        for pattern in (f"{number}_*", f"{number.partition('_')[0]}_submission.sh"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)


# --slurm=partition=gpu,time=240 --------------------------------------------------------------------------------------

CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")
"""How sbatch writes a time: ``4:00:00``, ``1-12:00:00``."""
WHOLE = frozenset({"time", "signal_delay_s", "array_parallelism", "gpus_per_node"})
"""Options whose values are numbers for ``submitit`` too."""
SET_HERE = frozenset({
    "array", "cpus_per_task", "dependency", "error", "help", "no_requeue", "nodes", "ntasks", "ntasks_per_node",
    "open_mode", "output", "parsable", "requeue", "signal", "test_only", "wait", "wrap",
})  # fmt: skip


def parameters(options: SessionOptions) -> dict[str, Any]:
    """Return what ``submitit`` is asked for; ``UsageError`` for options that do not suit.

    A step that srun starts has one core, whatever the job has (from Slurm 22.05 on), so it is given the number, too.
    """
    if options.gpus_per_task % 1:
        raise UsageError(f"--gpus_per_task={options.gpus_per_task:g}: Slurm gives whole GPUs only; valid: 0, 1, 2, ...")
    home = shlex.quote(str(MAIN.parent))
    found: dict[str, Any] = {
        "job_name": "adsynflow", "time": DEFAULT_MINUTES, "cpus_per_task": options.cpus_per_task,
        "setup": [f'export PYTHONPATH={home}"${{PYTHONPATH:+:$PYTHONPATH}}"'],
        "srun_args": [f"--cpus-per-task={options.cpus_per_task}"],
    }  # fmt: skip
    if options.gpus_per_task:
        found["gpus_per_node"] = round(options.gpus_per_task)
    return found | given(options.slurm)


def given(parts: Sequence[str]) -> dict[str, Any]:
    """``("partition=gpu", "exclude=n1", "n2", "time=240")`` as options; what has no name belongs to the one before.

    An option without a value is written ``exclusive=true``.

    Raises:
        UsageError: what is no option with a value, one that the engine sets, or a time that is neither a number of
            minutes nor one like ``4:00:00``.
    """
    found: dict[str, Any] = {}
    for part in parts:
        name, sign, value = part.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if name == "time" and (clock := CLOCK.fullmatch(value)):
            days, hours, minutes, seconds = (int(number or 0) for number in clock.groups())
            value = str(1440 * days + 60 * hours + minutes + (seconds > 0))
        if not sign and found:
            found[next(reversed(found))] += f",{part}"
        elif not sign or not name or not value:
            raise UsageError(f"--slurm={part}: expected options of sbatch with values, such as partition=gpu,time=240")
        elif name in SET_HERE:
            raise UsageError(f"--slurm={part}: cannot be chosen, since the engine sets it; see docs/scaling.md")
        elif name in WHOLE and (not value.isdecimal() or int(value) < 1):
            kind = "a whole number of minutes from 1 on, or 4:00:00" if name == "time" else "a whole number from 1 on"
            raise UsageError(f"--slurm={part}: expected {kind}")
        else:
            found[name] = int(value) if name in WHOLE else value == "true" or value
    return found
