"""status.json: how the last task that worked in a directory goes, or how it ended and why."""

import os
import platform
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from foundations import files
from foundations.errors import UsageError
from foundations.store import Store

RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"


@dataclass(frozen=True, kw_only=True)
class Status:
    """What ``status.json`` says.

    Args:
        state: ``running``, ``done``, ``failed`` or ``interrupted``. A process that is killed leaves ``running``, but
            no lock: see ``Part.state``.
        task: what people call the task.
        since: the local time at which it began, as ISO 8601.
        ended: likewise; empty while it runs.
        reason: why it failed.
        process: the number of its process.
        host: the machine.
    """

    state: str
    task: str
    since: str
    ended: str = ""
    reason: str = ""
    process: int = 0
    host: str = ""

    def write(self, store: Store) -> None:
        """Into the directory that the task works in."""
        store.write_json(files.STATUS, asdict(self))


def begun(task: str) -> Status:
    """The status of a task that this process begins now."""
    return Status(state=RUNNING, task=task, since=now(), process=os.getpid(), host=platform.node())


def now() -> str:
    """The local time, to the second: ``2026-03-01T14:05:09+01:00``."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def read_status(store: Store) -> Status | None:
    """The status of the last task in a directory; None where none was written, or it cannot be read.

    No result depends on it, so that whatever is wrong with it, the rest is shown without.
    """
    if not store.has(files.STATUS):
        return None
    try:
        entries: dict[str, Any] = store.read_json(files.STATUS)
        status = Status(**{name: value for name, value in entries.items() if name in Status.__dataclass_fields__})
    except (UsageError, OSError, TypeError):
        return None
    texts = (status.state, status.task, status.since, status.ended, status.reason)
    return status if all(isinstance(text, str) for text in texts) else None
