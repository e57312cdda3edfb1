"""status.json: how the last task in a directory is going, or how it ended and why."""

import contextlib
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from foundations import files
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.recovery import MISREAD
from foundations.store import Store

RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"


@dataclass(frozen=True, kw_only=True)
class Status:
    """What ``status.json`` says."""

    state: str
    """``running``, ``done``, ``failed`` or ``interrupted``. A killed process leaves ``running``, but no lock."""
    task: str
    since: str
    """The local time at which it began, as ISO 8601."""
    ended: str = ""
    """Likewise; empty while it runs."""
    reason: str = ""
    """Why it failed."""
    process: int = 0
    host: str = ""
    attempts: int = 1
    """1, and one more for each task here that failed, was interrupted or killed."""
    seconds: float = 0.0
    """On the clock, of all attempts that were not killed."""
    processor_seconds: float = 0.0
    """The same on all processors of the process."""
    peak_memory: float = 0.0
    """The largest memory of a process that worked here, in MB."""

    def write(self, store: Store) -> None:
        store.write_json(files.STATUS, asdict(self))


def begun(task: str, before: Status | None = None) -> Status:
    """Return the status of a task that this process begins now, where another may have worked ``before``."""
    first = Status(state=RUNNING, task=task, since=now(), process=os.getpid(), host=platform.node())
    if before is None:
        return first
    return replace(
        first, attempts=before.attempts + (before.state != DONE), seconds=before.seconds,
        processor_seconds=before.processor_seconds, peak_memory=before.peak_memory,
    )  # fmt: skip


def peak_memory() -> float:
    """Return the largest memory that this process has had, in MB; 0 where the system does not say."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return 0.0
    return getrusage(RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def now() -> str:
    """Return the local time, to the second: ``2026-03-01T14:05:09+01:00``."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def read_status(store: Store) -> Status | None:
    """Return the status of the last task in a directory; None where there is none that can be read.

    No result depends on it, so a damaged one is no error.
    """
    if not store.has(files.STATUS):
        return None
    try:
        entries = store.read_json(files.STATUS)
    except (UsageError, OSError):
        return None
    return Status(**{name: value for name, value in entries.items() if name in Status.__dataclass_fields__})


def statuses(stores: Iterable[Store]) -> list[Status]:
    return [status for store in stores if (status := read_status(store)) is not None]


def cost_of(found: Sequence[Status]) -> dict[str, float]:
    """Return what all attempts of some tasks have cost together: 1 attempt, and one more for each that failed."""
    if not found:
        return {}
    return {
        "attempts": 1 + sum(status.attempts - 1 for status in found),
        "seconds": sum(status.seconds for status in found),
        "processor_seconds": sum(status.processor_seconds for status in found),
        "peak_memory": max(status.peak_memory for status in found),
    }


def environment_of(store: Store) -> Row | None:
    """Return what a run was computed with, from either of the two copies; None without one that can be read."""
    for name in (files.ENVIRONMENT, files.ENVIRONMENT_COPY):
        with contextlib.suppress(*MISREAD):
            return dict(store.read_json(name))
    return None


def gpus(environment: Mapping[str, object]) -> int:
    """Return how many GPUs a run was computed on: one for each of the processes that trained together."""
    on_gpu = environment.get("device", "cpu") not in ("cpu", "mps")
    return int(str(environment.get("processes", 1))) if on_gpu else 0
