"""A process that does tasks for another one: a task a line comes in, what there is to say goes out, a line each.

A line that comes in is a JSON object with the entry ``task`` (``Task.entries``) and, the first time, ``session``
(``Session.entries``); with ``"tries": 1`` a task that fails is not tried once more here, but by whoever sent it. Lines
that go out are JSON objects. While a task is done: ``{"warning": text}``;
``{"steps": n, "line": text}``, how many optimizer steps were taken since the last such line, and how far the training
is; ``{"epoch": text, "last": false}`` at the end of an epoch. At the end of the task:
``{"ended": "done"}`` or ``{"ended": "failed", "reason": ..., "refused": ..., "details": ..., "exit_code": ...}``.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from experiments.run.engine import Failure
from experiments.run.in_process import one_by_one
from experiments.run.plan import make_plan
from experiments.run.progress import MeteringReporter
from experiments.run.tasks import from_json
from experiments.session import Session
from foundations.errors import UsageError
from foundations.reporting import Advance, Training

BETWEEN_LINES = 0.5  # seconds


class LineReporter(MeteringReporter):
    """Sends what there is to say to the process that reads our lines."""

    def __init__(self, out: IO[str]) -> None:
        super().__init__()
        self.out = out

    def warn(self, text: str) -> None:
        send(self.out, {"warning": text})

    def epoch(self, text: str, last: bool) -> None:
        send(self.out, {"epoch": text, "last": last})

    @contextmanager
    def training(self, training: Training) -> Iterator[Advance]:
        with super().training(training) as advance:
            meter = self.meters[training.path]
            sent, when = meter.done, time.monotonic()

            def tell(least: float) -> None:
                nonlocal sent, when
                if meter.done > sent and time.monotonic() - when >= least:
                    send(self.out, {"steps": meter.done - sent, "line": meter.text()})
                    sent, when = meter.done, time.monotonic()

            def advance_and_tell(steps: int) -> None:
                advance(steps)
                tell(BETWEEN_LINES)

            try:
                yield advance_and_tell
            finally:
                tell(0.0)


def serve(lines: Iterable[str], out: IO[str], session: Session | None = None) -> list[Failure]:
    """Does the tasks that come in.

    Args:
        lines: each a task.
        out: takes the lines that go out.
        session: for tasks that come without one.

    Returns:
        What failed.
    """
    failed: list[Failure] = []
    for line in lines:
        if not line.strip():
            continue
        message = read(line)
        if "session" in message:
            session = Session.from_entries(message["session"], LineReporter(out))
        if session is None:
            raise UsageError('The first task comes with an entry "session": where and how tasks are done')
        task = from_json(message["task"])
        failures = one_by_one(make_plan([task], session), session, message.get("tries", 2))
        failed += failures
        if not failures:
            send(out, {"ended": "done", "task": task.label})
            continue
        first = failures[0]
        reason = first.reason if first.task == task else f"{first.task.label}: {first.reason}"
        send(
            out,
            {"ended": "failed", "task": task.label, "reason": reason, "refused": first.refused,
             "details": first.details, "exit_code": first.exit_code},
        )  # fmt: skip
    return failed


def read(line: str) -> Mapping[str, Any]:
    """The message that a line holds."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"A task is a line of JSON, not {line.strip()[:60]!r} ({error})") from error
    if not isinstance(message, Mapping) or "task" not in message or not isinstance(message.get("session", {}), Mapping):
        raise UsageError('A task is a line of JSON: {"session": {...}, "task": {"task": KIND, ...}}')
    return message


def send(out: IO[str], message: Mapping[str, Any]) -> None:
    """A line that goes out at once."""
    out.write(json.dumps(message) + "\n")
    out.flush()
