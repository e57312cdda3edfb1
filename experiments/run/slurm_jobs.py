"""Jobs of Slurm as they lie on the disk: what each is to do, how far it is, and how it has ended.

A directory ``<root>/slurm/<digest of a task>`` has ``job.json``, by the command that submits, and ``answer.json``, by
the job itself. Whoever watches reads both. Imports no PyTorch: so does the job's own process, which only waits for its
child.
"""

import hashlib
import importlib
import json
import platform
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from experiments.run.progress import Meter
from experiments.run.task_process import STOPPED, Answer, TaskProcess
from foundations import files
from foundations.errors import UsageError
from foundations.store import Store

WAITING, RUNNING, DONE, FAILED, SKIPPED = "waiting", "running", "done", "failed", "skipped"
ENDED = (DONE, FAILED, SKIPPED)
BETWEEN_WRITES = 4.0  # seconds
MOST_IDLE = 3
"""How often in a row a job is put back into the queue without a step taken, before it is given up."""
TRIES_TO_WRITE = 10
TOO_SHORT = f"{MOST_IDLE} allocations in a row have ended before a step was taken; a longer --slurm=time=... is needed"
BEFORE_THE_END = signal.SIGUSR2
"""What Slurm sends before it ends an allocation, as ``submitit`` asks it to."""


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """What ``job.json`` says.

    Args:
        job: the job's number, in an array with its place in it: ``12_3``.
        label: what people call the task.
        steps: the optimizer steps that it takes.
        after: the directories of the jobs that it waits for.
    """

    job: str
    label: str
    steps: int
    after: Sequence[str] = ()


@dataclass(kw_only=True)
class JobAnswer:
    """What ``answer.json`` says.

    Args:
        state: ``waiting`` (also between two allocations), ``running``, ``done``, ``failed`` or ``skipped``.
        steps: optimizer steps taken so far, in all allocations.
        speed: steps a second in this one.
        line: how far the training is.
        warnings: what was warned of.
        first_failure: why it is tried once more.
        reason, refused, details, exit_code: how it failed; see ``experiments.run.engines.Failure``.
        idle: how many allocations in a row have ended without a step.
        host: the machine.
    """

    state: str = WAITING
    steps: int = 0
    speed: float = 0.0
    line: str = ""
    warnings: list[str] = field(default_factory=list)
    first_failure: str = ""
    reason: str = ""
    refused: bool = False
    details: str = ""
    exit_code: int = UsageError.exit_code
    idle: int = 0
    host: str = ""


class JobRecord:
    """The directory of a task's job."""

    def __init__(self, path: Path) -> None:
        self.path, self.store = path, Store(path)

    @property
    def job(self) -> JobFile | None:
        """The job that the task was last given to."""
        entries = self._read(files.JOB)
        return None if entries is None else JobFile(**entries)

    @property
    def answer(self) -> JobAnswer:
        """How far it is."""
        return JobAnswer(**(self._read(files.ANSWER) or {}))

    def submitted(self, job: JobFile) -> None:
        """The task has been given to a job."""
        self.store.write_json(files.JOB, asdict(job))

    def write(self, answer: JobAnswer) -> None:
        """The job says how far it is."""
        self.store.write_json(files.ANSWER, asdict(answer))

    def _read(self, name: str) -> dict[str, Any] | None:
        """The entries of a file that this version knows; None if there is none that can be read at this moment."""
        known = {item.name for cls in (JobFile, JobAnswer) for item in fields(cls)}
        try:
            found = self.store.read_json(name) if self.store.has(name) else None
        except (UsageError, OSError):
            return None
        return None if found is None else {key: value for key, value in found.items() if key in known}


def records(root: Path) -> Iterator[JobRecord]:
    """All below a root."""
    for path in sorted((root / files.SLURM).glob(f"*/{files.JOB}")):
        yield JobRecord(path.parent)


def record_of(task: Mapping[str, Any], root: Path) -> JobRecord:
    """The directory for a task, given as ``Task.entries``."""
    text = json.dumps(task, sort_keys=True)
    return JobRecord(root / files.SLURM / hashlib.sha256(text.encode()).hexdigest()[:16])


class Child(TaskProcess):
    """The child of a job. It must not hear the signal before the end of an allocation, which its parent acts upon."""

    def start(self) -> "subprocess.Popen[str]":
        signal.pthread_sigmask(signal.SIG_BLOCK, [BEFORE_THE_END])  # a child has the mask that its parent had
        try:
            return super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [BEFORE_THE_END])


@dataclass
class SlurmJob:
    """What a job does; ``submitit`` pickles it, and calls it on the machine that the job gets.

    Args:
        directory: that of its record.
        task: ``Task.entries``.
        session: ``Session.entries``.
        after: the directories of the jobs that it waits for.
    """

    directory: Path
    task: Mapping[str, Any]
    session: Mapping[str, Any]
    after: Sequence[Path] = ()

    def __call__(self) -> str:
        """Does the task, unless one that it waits for is not done; how it ended."""
        self.record, self.written, self.child = JobRecord(self.directory), 0.0, Child(self.session)
        self.said = self.record.answer
        self.first, self.meter = self.said.steps, Meter(0)
        if any(JobRecord(path).answer.state != DONE for path in self.after):
            return self.tell(state=SKIPPED, reason="what it waits for is not done")
        self.tell(state=RUNNING, host=platform.node())
        answer = self.child.do(self.task, self.hear)
        if accident(answer):
            self.tell(first_failure=answer["reason"])
            answer = self.child.do(self.task, self.hear)
        if answer["ended"] == "done":
            return self.tell(state=DONE)
        if answer.get("died") in STOPPED:
            return self.tell(state=WAITING)  # for Slurm to go on with, unless somebody has cancelled it
        known = {name: answer[name] for name in ("reason", "refused", "details", "exit_code") if name in answer}
        return self.tell(state=FAILED, **known)

    def checkpoint(self) -> Any:
        """Called shortly before the allocation ends: what is to be done in the next one."""
        self.child.stop()
        self.child.wait()
        idle = self.said.idle + 1 if self.said.steps == self.first else 0
        if idle >= MOST_IDLE:
            self.tell(state=FAILED, reason=TOO_SHORT)
            return None
        self.tell(state=WAITING, idle=idle)
        return importlib.import_module("submitit.helpers").DelayedSubmission(replace(self))

    def hear(self, message: Mapping[str, Any]) -> None:
        """What the child says; see ``experiments.run.worker``."""
        if "warning" in message:
            self.said.warnings.append(message["warning"])
        self.said.steps += message.get("steps", 0)
        self.said.line = message.get("line", self.said.line)
        self.meter.advance(message.get("steps", 0))
        if "warning" in message or time.monotonic() - self.written > BETWEEN_WRITES:
            self.tell(speed=self.meter.speed)

    def tell(self, **changes: Any) -> str:
        """Writes the answer; its state. Where a disk fails for a moment, the last one is written some seconds later."""
        self.said, self.written = replace(self.said, **changes), time.monotonic()
        for _ in range(TRIES_TO_WRITE if self.said.state != RUNNING else 1):
            try:
                self.record.write(self.said)
                break
            except OSError:
                time.sleep(1)
        return self.said.state


def accident(answer: Answer) -> bool:
    """Whether a task has failed in a way that is worth another try."""
    return answer["ended"] == "failed" and not answer["refused"] and answer.get("died") not in STOPPED
