"""A job of Slurm: what it does on its node, and the files by which it and the command that watches it know each other.

A directory ``<root>/slurm/<digest of a task>`` has ``job.json``, by the command that submits, and ``answer.json``, by
the job itself. Imports no PyTorch: a job's own process only waits for its child.
"""

import contextlib
import hashlib
import importlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from experiments.run.task_process import STOPPED, Answer, TaskProcess, failed
from foundations import files
from foundations.errors import UsageError
from foundations.store import Store

WAITING, RUNNING, DONE, FAILED, SKIPPED = "waiting", "running", "done", "failed", "skipped"
ENDED = (DONE, FAILED, SKIPPED)
BETWEEN_WRITES = 4.0  # seconds
MOST_IDLE = 3
"""How often in a row a job is put back into the queue without a step taken, before it is given up."""
TOO_SHORT = f"{MOST_IDLE} allocations in a row have ended before a step was taken; a longer --slurm=time=... is needed"


@dataclass(kw_only=True)
class JobAnswer:
    """``answer.json``: how far a job is, in all its allocations, and how it has ended."""

    state: str = WAITING  # also between two allocations
    steps: int = 0
    line: str = ""  # how far the training is, for people
    warnings: list[str] = field(default_factory=list)
    answer: Answer = field(default_factory=dict)  # the last of the child's, if the task has failed
    idle: int = 0  # allocations in a row that have ended without a step


class JobRecord(Store):
    """The directory of a task's job."""

    @property
    def number(self) -> str:
        """The job's number; empty if the task has no job."""
        return str(self._read(files.JOB).get("job", ""))

    @property
    def answer(self) -> JobAnswer:
        known, entries = {item.name for item in fields(JobAnswer)}, self._read(files.ANSWER)
        return JobAnswer(**{name: value for name, value in entries.items() if name in known})

    def _read(self, name: str) -> dict[str, Any]:
        with contextlib.suppress(UsageError, OSError):  # it is not there, or cannot be read at this moment
            return self.read_json(name)
        return {}


def record_of(task: Mapping[str, Any], root: Path) -> JobRecord:
    """Return the directory for a task, given as ``Task.entries``."""
    text = json.dumps(task, sort_keys=True)
    return JobRecord(root / files.SLURM / hashlib.sha256(text.encode()).hexdigest()[:16])


@dataclass
class SlurmJob:
    """What a job does; ``submitit`` pickles it, and calls it on the machine that the job gets."""

    directory: Path  # of its record
    task: Mapping[str, Any]  # `Task.entries`
    session: Mapping[str, Any]  # `Session.entries`
    after: Sequence[Path] = ()  # the directories of the jobs that it waits for

    def __call__(self) -> str:
        """Do the task, unless one that it waits for is not done; return how it ended."""
        self.record, self.written, self.child = JobRecord(self.directory), 0.0, TaskProcess(self.session)
        self.said = self.record.answer
        self.first = self.said.steps
        if any(JobRecord(path).answer.state != DONE for path in self.after):
            return self.tell(state=SKIPPED, answer=failed("what it waits for is not done"))
        self.tell(state=RUNNING)
        answer = self.child.do(self.task, self.hear)
        if answer["ended"] == "failed" and not answer["refused"] and answer.get("died") not in STOPPED:
            self.hear({"warning": f"{answer['reason']}; trying once more"})
            answer = self.child.do(self.task, self.hear)
        if answer["ended"] == "done":
            return self.tell(state=DONE)
        if answer.get("died") in STOPPED:
            return self.tell(state=WAITING)  # for Slurm to go on with, unless somebody has cancelled it
        return self.tell(state=FAILED, answer=answer)

    def checkpoint(self) -> Any:
        """Return what is to be done in the next allocation; called shortly before this one ends."""
        self.child.stop()
        self.child.wait()
        idle = self.said.idle + 1 if self.said.steps == self.first else 0
        if idle >= MOST_IDLE:
            self.tell(state=FAILED, answer=failed(TOO_SHORT))
            return None
        self.tell(state=WAITING, idle=idle)
        return importlib.import_module("submitit.helpers").DelayedSubmission(replace(self))

    def hear(self, message: Answer) -> None:
        """Take in what the child says; see ``serve``."""
        self.said.steps += message.get("steps", 0)
        self.said.line = message.get("line", self.said.line)
        if "warning" in message:
            self.said.warnings.append(message["warning"])
        if "warning" in message or time.monotonic() - self.written > BETWEEN_WRITES:
            self.tell()

    def tell(self, **changes: Any) -> str:
        """Write the answer and return its state; where the disk fails, the job counts as lost, and is done again."""
        self.said, self.written = replace(self.said, **changes), time.monotonic()
        with contextlib.suppress(OSError):
            self.record.write_json(files.ANSWER, asdict(self.said))
        return self.said.state
