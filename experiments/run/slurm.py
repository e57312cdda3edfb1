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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.options import SessionOptions
from experiments.run.engine import Dispatcher, Failure, engines, failure_of, heard
from experiments.run.plan import Plan
from experiments.run.slurm_jobs import DONE, ENDED, FAILED, RUNNING, SKIPPED, JobAnswer, SlurmJob, record_of
from experiments.run.task_process import MAIN
from experiments.run.tasks import Task
from experiments.workspace import Workspace
from foundations import files
from foundations.errors import UsageError, near_misses, needed
from foundations.reporting import Began
from foundations.store import Store

PAUSE = 2.0  # seconds between two looks at what a job says
BETWEEN_LOOKS = 5.0  # seconds between two calls of squeue
LATE = 15.0  # seconds for which the answer of a job that has left the queue may be missing on a shared disk
LARGEST_ARRAY = 1000  # Slurm's own default of MaxArraySize is 1001
MOST_TIMES = 10_000  # that a job may come to its time limit; one that takes no step is given up long before
DEFAULT_MINUTES = 60
NOT_SUBMITTED = (".submission_file_*", "[0-9a-f]" * 32 + ".pkl")  # what lies in the folder of jobs without a number
OVER = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
)  # fmt: skip
"""States of jobs that come to nothing more; Slurm forgets them after some minutes."""


@engines.register("slurm")
def run(plan: Plan, session: Workspace) -> list[Failure]:
    """Submit what is not queued yet; then watch, unless ``session.options.detach``."""
    reporter = session.context.reporter
    jobs = Jobs(plan, session)
    new = jobs.submit_missing(list(plan))
    reporter.say(f"{len(plan)} tasks: {new} submitted to Slurm, {len(plan) - new} queued or running already")
    if session.options.detach:
        reporter.say("They go on without this command; given again, it shows what came of them. See squeue and list.")
        return []
    try:
        failures = Dispatcher(plan, len(plan), jobs.do, jobs.stopped.set, reporter, begins=False).run()
    except KeyboardInterrupt:
        reporter.say("The jobs go on; the same command watches them again, scancel --name=adsynflow ends them.")
        raise
    jobs.forget_done()
    return failures


class Jobs:
    """The jobs of a plan's tasks."""

    def __init__(self, plan: Plan, session: Workspace) -> None:
        root = session.context.root.absolute()
        self.plan, self.reporter, self.entries = plan, session.context.reporter, session.entries_elsewhere()
        self.logs = Store(root / files.SLURM / files.LOGS)
        self.queue = SlurmQueue(self.logs.path, session.options)
        self.records = {task: record_of(task.entries(), root) for task in (*plan, *plan.done)}
        self.pause = PAUSE * max(1.0, len(plan) / 200)  # of all threads together some hundred looks a second at most
        self.lost: set[Task] = set()
        self.stopped = threading.Event()
        self.submitting = threading.Lock()

    def submit_missing(self, tasks: Sequence[Task]) -> int:
        """Submit those tasks that no job will do, by layers; return how many there were."""
        with self.submitting, self.logs.lock(self.reporter):  # another command may submit at the same time
            missing = [task for task in tasks if not self.queued(task)]
            for layer in layers(missing, self.plan.before):
                self.submit(layer)
        return len(missing)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Submit tasks as an array that waits for the jobs of all that one of them waits for."""
        before, records = self.plan.before, self.records
        numbers = dict.fromkeys(records[one].number for task in tasks for one in before[task] if self.queued(one))
        jobs = []
        for task in tasks:
            records[task].remove()  # what an earlier job has said
            after = [records[one].path for one in before[task]]
            jobs.append(SlurmJob(records[task].path, task.entries(), self.entries, after))
        for task, number in zip(tasks, self.queue.submit(jobs, list(numbers)), strict=True):
            records[task].write_json(files.JOB, {"job": number, "label": task.label})

    def queued(self, task: Task) -> bool:
        """Whether a job waits for its turn, or runs, that will do the task."""
        record = self.records[task]
        return self.queue.state(record.number) not in ("", *OVER) and record.answer.state not in ENDED

    def do(self, task: Task) -> Failure | None:
        """Wait, in a thread of its own, until a task's job has ended; one that has come to nothing is replaced."""
        record, said, missed = self.records[task], JobAnswer(), False
        if record.answer.state == SKIPPED or task in self.lost:
            self.submit_missing([task])
        with heard(task, self.reporter) as hear:
            while not self.stopped.is_set():
                alive = self.queue.state(record.number) not in ("", *OVER)
                before, said = said, record.answer
                if said.state == RUNNING and before.state != RUNNING:
                    self.reporter.hear(Began(task))
                for warning in said.warnings[len(before.warnings) :]:
                    hear({"warning": warning})
                if said.steps > before.steps:
                    hear({"steps": said.steps - before.steps, "line": said.line})
                if said.state == DONE:
                    return None
                if said.state in ENDED:  # a job that has failed has tried twice, one that was skipped not at all
                    return failure_of(task, said.answer, tried_again=said.state == FAILED)
                if missed and not alive:
                    return self.failure_of_lost(task, said)
                missed = not alive
                self.stopped.wait(LATE if missed else self.pause)
        return Failure(task, "not watched any more", refused=True)

    def failure_of_lost(self, task: Task, said: JobAnswer) -> Failure:
        """Return why a job is gone without an answer: cancelled, or ended from outside."""
        number = self.records[task].number
        state = self.queue.state(number)
        self.lost.add(task)
        if state.startswith("CANCELLED") or (state == "COMPLETED" and said.state != RUNNING):
            return Failure(task, f"its job {number} was cancelled", refused=True, exit_code=1)
        why = state.lower() or "unknown to Slurm"
        return Failure(task, f"its job {number} ended without a result ({why}); see {self.logs.path}", refused=False)

    def forget_done(self) -> None:
        """Remove what lies on the disk of jobs that are done."""
        for record in self.records.values():
            if record.answer.state == DONE:
                remove(self.logs.path, f"{record.number}_*", f"{record.number.partition('_')[0]}_submission.sh")
                record.remove()


def layers(tasks: Sequence[Task], before: Mapping[Task, Sequence[Task]]) -> Iterator[list[Task]]:
    """Yield tasks in layers, each of which waits for those before it only."""
    depth: dict[Task, int] = {}
    for task in tasks:  # those that it waits for come first
        depth[task] = 1 + max((depth[other] for other in before[task] if other in depth), default=-1)
    for layer in range(max(depth.values(), default=-1) + 1):
        yield [task for task in tasks if depth[task] == layer]


def arrays(plan: Plan) -> list[tuple[list[Task], list[int]]]:
    """Return the arrays that a plan is submitted as, each with the places of those that it waits for."""
    found: list[tuple[list[Task], list[int]]] = []
    place: dict[Task, int] = {}
    for layer in layers(list(plan), plan.before):
        after = sorted({place[one] for task in layer for one in plan.before[task]})
        for first in range(0, len(layer), LARGEST_ARRAY):
            part = layer[first : first + LARGEST_ARRAY]
            place.update(dict.fromkeys(part, len(found)))
            found.append((part, after))
    return found


class SlurmQueue:
    """The cluster that this machine submits to, with a folder for the jobs' scripts and output."""

    def __init__(self, folder: Path, options: SessionOptions) -> None:
        self.folder, self.parameters = folder, parameters(options)
        self.lock = threading.Lock()
        self.looked = -BETWEEN_LOOKS
        self.states: dict[str, str] = {}
        if shutil.which("sbatch") is None:
            raise UsageError("--engine=slurm: there is no sbatch here; give the command on a login node of a cluster")
        self.executor()  # refuses what does not suit

    def executor(self, **more: str) -> Any:
        submitit = needed("submitit", "--engine=slurm", "adsynflow[slurm]")
        executor = submitit.SlurmExecutor(self.folder, max_num_timeout=MOST_TIMES)
        executor.update_parameters(**self.parameters, **more)
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
                remove(self.folder, *NOT_SUBMITTED)
                lines = str(error).strip().splitlines() or [type(error).__name__]
                said = next((line for line in lines if "sbatch: error" in line), lines[-1])
                raise UsageError(f"--engine=slurm: the jobs could not be submitted: {said}") from error
        self.states.update(dict.fromkeys(numbers, "PENDING"))
        return numbers

    def state(self, number: str) -> str:
        """Return the state of a job, such as ``PENDING``, some seconds old; empty if Slurm knows it no more.

        Where squeue does not answer, as during a restart of Slurm, it is that of the last answer.
        """
        command = ["squeue", "--noheader", "--array", "--states=all", f"--user={getpass.getuser()}", "--format=%i|%T"]
        with self.lock, contextlib.suppress(subprocess.SubprocessError, OSError):
            if time.monotonic() - self.looked >= BETWEEN_LOOKS:
                self.looked = time.monotonic()
                said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
                self.states = dict(line.strip().split("|", 1) for line in said.splitlines() if "|" in line)
        return self.states.get(number, "")


def remove(folder: Path, *patterns: str) -> None:
    for path in (path for pattern in patterns for path in folder.glob(pattern)):
        path.unlink(missing_ok=True)


# --slurm=partition=gpu,time=240 --------------------------------------------------------------------------------------

CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d):(\d\d)")  # 4:00:00, 1-12:00:00
WHOLE = ("time", "signal_delay_s", "array_parallelism", "gpus_per_node")  # numbers, for `submitit` too
SET_HERE = (
    "array", "cpus_per_task", "dependency", "error", "help", "no_requeue", "nodes", "ntasks", "ntasks_per_node",
    "open_mode", "output", "parsable", "requeue", "signal", "test_only", "wait", "wrap",
)  # fmt: skip


def parameters(options: SessionOptions) -> dict[str, Any]:
    """Return what ``submitit`` is asked for; ``UsageError`` for options that do not suit."""
    if options.gpus_per_task % 1:
        raise UsageError(f"--gpus_per_task={options.gpus_per_task:g}: Slurm gives whole GPUs only; valid: 0, 1, 2, ...")
    home, chosen = shlex.quote(str(MAIN.parent)), given(options.slurm)
    return {
        "job_name": "adsynflow", "time": DEFAULT_MINUTES, "cpus_per_task": options.cpus_per_task,
        "setup": [f'export PYTHONPATH={home}"${{PYTHONPATH:+:$PYTHONPATH}}"'],
        "srun_args": [f"--cpus-per-task={options.cpus_per_task}"],  # Slurm 22.05 and later gives a step one core
        **({"gpus_per_node": round(options.gpus_per_task)} if options.gpus_per_task else {}),
        **{name: chosen.pop(name) for name in WHOLE if name in chosen}, "additional_parameters": chosen,
    }  # fmt: skip


def check_names(options: SessionOptions) -> None:
    """Raise ``UsageError`` for a name in ``--slurm`` that the ``sbatch`` of this machine, if it has one, does not know.

    Its help also lists what a cluster's own plug-ins add.
    """
    with contextlib.suppress(subprocess.SubprocessError, OSError):
        said = subprocess.run(["sbatch", "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
        known = {name.replace("-", "_") for name in re.findall(r"--([a-z][a-z0-9-]*)", said)}
        for name in given(options.slurm):
            if known and name not in {*known, *WHOLE}:
                raise UsageError(f"--slurm={name}=...: no option of sbatch{near_misses(name, known)}")


def given(parts: Sequence[str]) -> dict[str, Any]:
    """Return the options in ``("partition=gpu", "exclude=n1", "n2", "time=240")``; ``n2`` belongs to the one before."""
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
