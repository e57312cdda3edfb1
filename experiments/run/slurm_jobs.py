"""Jobs of Slurm: what one does on its node, and the two files by which it and whoever watches know of each other.

A directory ``<root>/slurm/<digest of a task>`` has ``job.json``, by the command that submits, and ``answer.json``, by
the job itself. Imports no PyTorch: a job's own process only waits for its child.
"""

import contextlib
import hashlib
import importlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from experiments.run.progress import Throughput
from experiments.run.task_process import STOPPED, Answer, TaskProcess
from foundations import files
from foundations.errors import UsageError
from foundations.store import Store

WAITING, RUNNING, DONE, FAILED, SKIPPED = "waiting", "running", "done", "failed", "skipped"
ENDED = (DONE, FAILED, SKIPPED)
BETWEEN_WRITES = 4.0  # seconds
TRIES_TO_WRITE = 10
MOST_IDLE = 3
"""How often in a row a job is put back into the queue without a step taken, before it is given up."""
TOO_SHORT = f"{MOST_IDLE} allocations in a row have ended before a step was taken; a longer --slurm=time=... is needed"


@dataclass(kw_only=True)
class JobAnswer:
    """``answer.json``: how far a job is, in all its allocations, and how it has ended."""

    state: str = WAITING  # also between two allocations
    steps: int = 0
    speed: float = 0.0  # steps a second
    line: str = ""  # how far the training is, for people
    warnings: list[str] = field(default_factory=list)
    reason: str = ""  # this and the following: see `Failure`
    refused: bool = False
    details: str = ""
    exit_code: int = UsageError.exit_code
    idle: int = 0  # allocations in a row that have ended without a step


class JobRecord:
    """The directory of a task's job."""

    def __init__(self, path: Path) -> None:
        self.path, self.store = path, Store(path)

    @property
    def job(self) -> Mapping[str, Any]:
        """``job.json``: number of the job, label and optimizer steps of the task; empty if it has no job."""
        return {"job": "", **self._read(files.JOB)}

    @property
    def answer(self) -> JobAnswer:
        known = {item.name for item in fields(JobAnswer)}
        return JobAnswer(**{name: value for name, value in self._read(files.ANSWER).items() if name in known})

    def submitted(self, job: str, label: str, steps: int) -> None:
        self.store.write_json(files.JOB, {"job": job, "label": label, "steps": steps})

    def write(self, answer: JobAnswer) -> None:
        self.store.write_json(files.ANSWER, asdict(answer))

    def _read(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(UsageError, OSError):  # it is not there, or cannot be read at this moment
            return self.store.read_json(name)
        return {}


def records(root: Path) -> Iterator[JobRecord]:
    for path in sorted((root / files.SLURM).glob(f"*/{files.JOB}")):
        yield JobRecord(path.parent)


def record_of(task: Mapping[str, Any], root: Path) -> JobRecord:
    """Return the directory for a task, given as ``Task.entries``."""
    text = json.dumps(task, sort_keys=True)
    return JobRecord(root / files.SLURM / hashlib.sha256(text.encode()).hexdigest()[:16])


@dataclass
class SlurmJob:
    """What a job does; ``submitit`` pickles it, and calls it on the machine that the job gets.

    Args:
        directory: that of its record.
        label: the task's.
        task: ``Task.entries``.
        session: ``Session.entries``.
        after: the directories of the jobs that it waits for.
    """

    directory: Path
    label: str
    task: Mapping[str, Any]
    session: Mapping[str, Any]
    after: Sequence[Path] = ()

    def __call__(self) -> str:
        """Do the task, unless one that it waits for is not done; return how it ended."""
        self.record, self.written, self.child = JobRecord(self.directory), 0.0, TaskProcess(self.session)
        self.said = self.record.answer
        self.first, self.throughput = self.said.steps, Throughput(0)
        if any(JobRecord(path).answer.state != DONE for path in self.after):
            return self.tell(state=SKIPPED, reason="what it waits for is not done")
        self.tell(state=RUNNING)
        answer = self.child.do(self.task, self.hear)
        if answer["ended"] == "failed" and not answer["refused"] and answer.get("died") not in STOPPED:
            self.warn(f"{answer['reason']}; trying once more")
            answer = self.child.do(self.task, self.hear)
        if answer["ended"] == "done":
            return self.tell(state=DONE)
        if answer.get("died") in STOPPED:
            return self.tell(state=WAITING)  # for Slurm to go on with, unless somebody has cancelled it
        known = {name: answer[name] for name in ("reason", "refused", "details", "exit_code") if name in answer}
        return self.tell(state=FAILED, **known)

    def checkpoint(self) -> Any:
        """Return what is to be done in the next allocation; called shortly before this one ends."""
        self.child.stop()
        self.child.wait()
        idle = self.said.idle + 1 if self.said.steps == self.first else 0
        if idle >= MOST_IDLE:
            self.tell(state=FAILED, reason=TOO_SHORT)
            return None
        self.tell(state=WAITING, idle=idle)
        return importlib.import_module("submitit.helpers").DelayedSubmission(replace(self))

    def hear(self, message: Answer) -> None:
        """Take in what the child says; see ``serve``."""
        if "warning" in message:
            self.warn(message["warning"])
        self.said.steps += message.get("steps", 0)
        self.said.line = message.get("line", self.said.line)
        self.throughput.advance(message.get("steps", 0))
        if time.monotonic() - self.written > BETWEEN_WRITES:
            self.tell(speed=self.throughput.per_second)

    def warn(self, text: str) -> None:
        self.tell(warnings=[*self.said.warnings, f"{self.label}: {text}"])

    def tell(self, **changes: Any) -> str:
        """Write the answer, again and again where a disk fails for a moment; return its state."""
        self.said, self.written = replace(self.said, **changes), time.monotonic()
        for _ in range(TRIES_TO_WRITE if self.said.state != RUNNING else 1):
            try:
                self.record.write(self.said)
                break
            except OSError:
                time.sleep(1)
        return self.said.state
