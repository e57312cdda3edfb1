"""What a task leaves in its directory beside its results: ``status.json`` and ``log.txt``."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace

from experiments.run.progress import MeteringReporter
from experiments.runs.status import DONE, FAILED, INTERRUPTED, Status, begun, now, peak_memory, read_status
from foundations import files
from foundations.reporting import EpochEnded, Event, Left, Several
from foundations.store import Store


class LogReporter(MeteringReporter):
    """Adds what is said to the log of a directory, a line each, with its time."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def say(self, text: str) -> None:
        for line in text.splitlines():
            with contextlib.suppress(OSError):  # as in write()
                self.store.append_line(files.LOG, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}")

    warn = say

    def hear(self, event: Event) -> None:
        super().hear(event)
        if isinstance(event, EpochEnded):
            self.say(event.text)


class Record:
    """How a task ends; that it was interrupted, unless somebody says otherwise."""

    def __init__(self) -> None:
        self.state, self.reason = INTERRUPTED, ""

    def ended(self, reason: str | None) -> None:
        """Note that the task is done, or has failed for a reason."""
        self.state, self.reason = (DONE, "") if reason is None else (FAILED, reason)


@contextlib.contextmanager
def recorded(label: str, store: Store | None, reporters: Several) -> Iterator[Record]:
    """Inside, a task works in a directory: it has a status, and what is said goes to its log.

    Args:
        label: what people call the task.
        store: the directory; without one nothing is recorded.
        reporters: hear what is said.
    """
    record = Record()
    if store is None:
        yield record
        return
    status = begun(label, read_status(store))
    clock, processor = time.monotonic(), time.process_time()
    log = LogReporter(store)
    write(status, store)
    log.say(f"{label}: begun by process {status.process} on {status.host}")
    try:
        with reporters.also(log):
            yield record
    finally:
        ended = replace(
            status, state=record.state, ended=now(), reason=record.reason,
            seconds=round(status.seconds + time.monotonic() - clock, 1),
            processor_seconds=round(status.processor_seconds + time.process_time() - processor, 1),
            peak_memory=round(max(status.peak_memory, peak_memory()), 1),
        )  # fmt: skip
        write(ended, store)
        log.say(f"{label}: {record.state}{f', {record.reason}' if record.reason else ''}")
        reporters.hear(Left(store.path))


def write(status: Status, store: Store) -> None:
    """Write a status; where that is not possible, the task itself will name the file that matters."""
    with contextlib.suppress(OSError):
        status.write(store)
