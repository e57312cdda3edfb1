"""Tasks in this process, one after the other; each leaves ``status.json`` and ``log.txt`` beside its results."""

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace

from experiments.run.engine import Failure, engines
from experiments.run.plan import Plan
from experiments.run.progress import MeteringReporter
from experiments.run.tasks import Task
from experiments.runs.status import DONE, FAILED, INTERRUPTED, Status, begun, now, peak_memory, read_status
from experiments.workspace import Workspace
from foundations import files
from foundations.errors import UsageError
from foundations.interruption import Interrupted
from foundations.reporting import Advanced, Began, Ended, EpochEnded, Event, Left, Reporter, Several, Training
from foundations.store import Store
from foundations.text import printable

AFTER_AN_OS_ERROR = "Once this is put right, the same command goes on from the last checkpoint."


@engines.register("in_process")
def run(plan: Plan, session: Workspace) -> list[Failure]:
    """Do the tasks in the order of the plan, or ``session.options.at_once`` of them at once."""
    if min(session.options.at_once, len(plan)) > 1:
        from experiments.run.side_by_side import run_side_by_side

        return run_side_by_side(plan, session)
    return one_by_one(plan, session)


def one_by_one(plan: Plan, session: Workspace, tries: int = 2) -> list[Failure]:
    """Do the tasks in the order of the plan; one that fails is tried once more, unless ``tries`` is 1."""
    reporter = session.context.reporter
    failures: list[Failure] = []
    skipped: set[Task] = set()
    for task in plan:
        if task in skipped:
            continue
        reporter.hear(Began(task))
        failure = attempt(task, session)
        if failure is not None and not failure.refused and tries > 1:
            reporter.warn(f"{task.label}: {failure.reason}; trying once more")
            failure = attempt(task, session)
        standing: tuple[Task, ...] = ()
        if failure is not None:
            standing = tuple(other for other in plan.standing_on(task) if other not in skipped)
            skipped.update(standing)
            failures.append(replace(failure, skipped=standing))
        reporter.hear(Ended(task, failure is not None, standing))
    return failures


def attempt(
    task: Task, session: Workspace, processor_seconds: Callable[[], float] = time.process_time
) -> Failure | None:
    """Do a task in this process, with status and log in its directory; return how it failed, if it did.

    An interruption ends it at once.
    """
    reporters, where = session.reporters, task.work(session).where
    with reporters.also(StepsOf(task, reporters)), recorded(task.label, where, reporters, processor_seconds) as record:
        failure = tried(task, session)
        record.ended(None if failure is None else failure.reason)
    return failure


class StepsOf(Reporter):
    """Credits the steps of the trainings that it hears of to a task."""

    def __init__(self, task: Task, reporters: Several) -> None:
        self.task, self.reporters = task, reporters

    def hear(self, event: Event) -> None:
        match event:
            case Advanced(Training(), steps):
                self.reporters.hear(Advanced(self.task, steps))


def tried(task: Task, session: Workspace) -> Failure | None:
    try:
        with session.computing():
            task.work(session).run()
    except UsageError as error:
        return Failure(task, str(error), refused=True, exit_code=error.exit_code)
    except BrokenPipeError:  # whoever reads our output has gone
        raise
    except OSError as error:
        return Failure(task, f"{error}\n{AFTER_AN_OS_ERROR}", refused=True)
    except Exception as error:
        if session.context.interruption.asked():  # which a library has made an error of its own of
            raise Interrupted from error
        return Failure(task, f"{type(error).__name__}: {error}", refused=False, details=traceback.format_exc())
    return None


class LogReporter(MeteringReporter):
    """Adds what is said to the log of a directory, a line each, with its time."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def say(self, text: str) -> None:
        for line in text.splitlines():
            with contextlib.suppress(OSError):  # as in write()
                self.store.append_line(files.LOG, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {printable(line)}")

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
def recorded(
    label: str, store: Store | None, reporters: Several, processor_seconds: Callable[[], float] = time.process_time
) -> Iterator[Record]:
    """Inside, a task works in a directory: it has a status, and what is said goes to its log.

    Args:
        label: what people call the task.
        store: the directory; without one nothing is recorded.
        reporters: hear what is said.
        processor_seconds: a clock of what the task takes of the processors.
    """
    record = Record()
    if store is None:
        yield record
        return
    status = begun(label, read_status(store))
    clock, processor = time.monotonic(), processor_seconds()
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
            processor_seconds=round(status.processor_seconds + processor_seconds() - processor, 1),
            peak_memory=round(max(status.peak_memory, peak_memory()), 1),
        )  # fmt: skip
        write(ended, store)
        log.say(f"{label}: {record.state}{f', {record.reason}' if record.reason else ''}")
        reporters.hear(Left(store.path))


def write(status: Status, store: Store) -> None:
    """Write a status; where that is not possible, the task itself will name the file that matters."""
    with contextlib.suppress(OSError):
        status.write(store)
