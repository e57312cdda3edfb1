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
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

from experiments.run.engine import Failure
from experiments.run.in_process import one_by_one
from experiments.run.plan import make_plan
from experiments.run.progress import MeteringReporter, TrainingThroughput
from experiments.run.tasks import Task, from_json
from experiments.workspace import Workspace
from foundations.errors import UsageError
from foundations.reporting import Advanced, Began, Ended, EpochEnded, Event, Reporter, Training

BETWEEN_LINES = 0.5  # seconds


class LineReporter(MeteringReporter):
    """Sends events as lines of JSON to the parent process."""

    def __init__(self, out: IO[str]) -> None:
        super().__init__()
        self.out = out
        self.sent, self.when = 0, 0.0

    def warn(self, text: str) -> None:
        send(self.out, {"warning": text})

    def hear(self, event: Event) -> None:
        if isinstance(event, Ended) and isinstance(event.what, Training):
            self.tell(self.meters[event.what.path])
        super().hear(event)
        match event:
            case Began(Training(first=first)):
                self.sent, self.when = first, time.monotonic()
            case Advanced(Training(path=path)) if time.monotonic() - self.when >= BETWEEN_LINES:
                self.tell(self.meters[path])
            case EpochEnded(text, last):
                send(self.out, {"epoch": text, "last": last})

    def tell(self, meter: TrainingThroughput) -> None:
        """Send how many steps have been taken since the last time."""
        if meter.done > self.sent:
            send(self.out, {"steps": meter.done - self.sent, "line": meter.text()})
            self.sent, self.when = meter.done, time.monotonic()


def serve(
    lines: Iterable[str], out: IO[str], session_of: Callable[[Mapping[str, Any], Reporter], Workspace],
    with_needs: Callable[[Task], Task], session: Workspace | None = None,
) -> list[Failure]:  # fmt: skip
    """Do the tasks that come in, a line each; return those that failed.

    Args:
        lines: the tasks.
        out: takes the lines that go out.
        session_of: makes the session that ``Session.entries`` has described.
        with_needs: adds to a task those that it waits for.
        session: for tasks that come without one.
    """
    failed: list[Failure] = []
    for line in lines:
        if not line.strip():
            continue
        message = read(line)
        if "session" in message:
            session = session_of(message["session"], LineReporter(out))
        if session is None:
            raise UsageError('The first task comes with an entry "session": where and how tasks are done')
        task = with_needs(from_json(message["task"]))
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
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"A task is a line of JSON, not {line.strip()[:60]!r} ({error})") from error
    if not isinstance(message, Mapping) or "task" not in message or not isinstance(message.get("session", {}), Mapping):
        raise UsageError('A task is a line of JSON: {"session": {...}, "task": {"task": KIND, ...}}')
    return message


def send(out: IO[str], message: Mapping[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()
