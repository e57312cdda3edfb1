"""Reporters: what a user sees of a long computation, and how long it will take."""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

from foundations.reporting import (
    Advanced,
    Began,
    Ended,
    EpochEnded,
    Event,
    Progress,
    Reporter,
    RowAdded,
    StatusLine,
    Training,
    Whole,
)
from foundations.steps import Step
from foundations.text import duration, printable, printable_text

WINDOW = 30.0  # seconds over which a speed is averaged

Clock = Callable[[], float]


class Throughput:
    """Counts up to a total, and measures the speed of the last half minute.

    Args:
        total: what it counts to.
        done: what it begins with.
        clock: gives seconds.
    """

    def __init__(self, total: int, done: int = 0, clock: Clock = time.monotonic) -> None:
        self.total, self.done, self.clock = total, done, clock
        self.marks = deque([(clock(), done)])

    def advance(self, n: int) -> None:
        self.done += n
        now = self.clock()
        self.marks.append((now, self.done))
        while len(self.marks) > 2 and now - self.marks[0][0] > WINDOW:
            self.marks.popleft()

    @property
    def per_second(self) -> float:
        (then, before), (now, done) = self.marks[0], self.marks[-1]
        return (done - before) / (now - then) if now > then else 0.0

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.done) / self.per_second if self.per_second else None


class TrainingThroughput(Throughput):
    """The throughput of a training, with its last row of metrics."""

    def __init__(self, training: Training, clock: Clock = time.monotonic) -> None:
        super().__init__(training.until, training.first, clock)
        self.training, self.row = training, dict(training.last)

    @property
    def images_a_second(self) -> float:
        """Images trained on in a second, evaluation and saving included."""
        return self.per_second * self.training.batch_size

    def text(self) -> str:
        """Return ``ep 3/160  it 98/5120  loss 0.3121  acc 91.20%  12.3k img/s  0:03:12 left`` (of the test set)."""
        per_epoch = self.training.iterations_per_epoch
        parts = [f"ep {self.done // per_epoch}/{-(-self.total // per_epoch)}", f"it {self.done}/{self.total}"]
        if self.row.get("test_loss") is not None:
            parts += [f"loss {self.row['test_loss']:.3f}", f"acc {self.row['test_accuracy']:.1%}"]
        if self.per_second:
            parts.append(f"{brief(self.images_a_second)} img/s")
        return "  ".join([*parts, *left(self.seconds_left)])

    def step(self, iteration: int) -> str:
        return Step.at(iteration, self.training.iterations_per_epoch).short

    def epoch(self, row: Mapping[str, Any]) -> str:
        """Return the line of a log: ``<run>/level_1: 3ep of 160ep, test accuracy 91.20%, ... images/s``."""
        self.row = dict(row)
        loss = row["test_loss"]
        parts = [
            f"{name_of(self.training)}: {self.step(row['iteration'])} of {self.step(self.total)}",
            f"test accuracy {row['test_accuracy']:.2%}", f"loss {loss:.4f}",
        ]  # fmt: skip
        if self.per_second:
            parts.append(f"{brief(self.images_a_second)} images/s")
        return ", ".join([*parts, *left(self.seconds_left if row["iteration"] < self.total else None)])


def name_of(training: Training) -> str:
    """Return the path below the root: ``lottery_<hash>/replicate_1/level_1``."""
    parts = training.path.parts
    run = next((place for place, part in enumerate(parts) if part.startswith("replicate_")), len(parts) - 1)
    return "/".join(parts[max(run - 1, 0) :])


def left(seconds: float | None) -> list[str]:
    """Return ``["0:03:12 left"]``; nothing if it is not known."""
    return [] if seconds is None else [f"{duration(seconds)} left"]


def brief(number: float) -> str:
    """Return a text such as ``845``, ``12.3k`` or ``1.2M``."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= 0.99995 * size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


Text = Callable[[int], str]


class MeteringReporter(Reporter):
    """Measures each training, and raises an ``EpochEnded`` event at the end of each epoch."""

    def __init__(self) -> None:
        self.meters: dict[Path, TrainingThroughput] = {}

    def hear(self, event: Event) -> None:
        super().hear(event)
        match event:
            case Began(Training() as training):
                self.meters[training.path] = TrainingThroughput(training)
            case Advanced(Training(path=path), n) if path in self.meters:
                self.meters[path].advance(n)
            case Ended(Training(path=path)):
                self.meters.pop(path, None)
            case RowAdded(path, row) if path in self.meters:
                meter = self.meters[path]
                self.hear(EpochEnded(meter.epoch(row), last=row["iteration"] >= meter.total))


class StandardError(logging.Handler):
    """Writes to whatever standard error is at the moment, as notebooks and tests change it."""

    def emit(self, record: logging.LogRecord) -> None:
        print(printable_text(self.format(record)), file=sys.stderr, flush=True)


def logger() -> logging.Logger:
    """Return the logger ``adsynflow``; it writes to standard error unless it has been given a handler."""
    log = logging.getLogger("adsynflow")
    if not log.handlers:
        log.addHandler(StandardError())
        log.propagate = False
        log.setLevel(logging.INFO)
    return log


class QuietReporter(Reporter):
    """Logs warnings only."""

    def warn(self, text: str) -> None:
        logger().warning(text)


class PlainReporter(MeteringReporter):
    """Logs what is said, and a line for each epoch with the time and how far all of it is."""

    def __init__(self) -> None:
        super().__init__()
        self.whole: Whole | None = None

    def hear(self, event: Event) -> None:
        super().hear(event)
        match event:
            case Began(Whole() as whole):
                self.whole = whole
            case Ended(Whole()):
                self.whole = None
            case EpochEnded(text):
                of_all = self.whole.text() if self.whole is not None else ""
                self.say(f"{time.strftime('%H:%M:%S')} {text}" + (f" ({of_all})" if of_all else ""))

    def say(self, text: str) -> None:
        logger().info(text)

    def warn(self, text: str) -> None:
        logger().warning(text)


class RichReporter(MeteringReporter):
    """Prints lines on a terminal; below them one for each activity, which changes in place."""

    def __init__(self) -> None:
        from rich.console import Console

        super().__init__()
        self.console = Console(stderr=True, highlight=False, markup=False)
        self.lines: dict[Hashable, Text] = {}
        self.counts: dict[Hashable, Throughput] = {}
        self.live: Any = None
        self.lock = threading.RLock()  # worker processes are waited for in threads

    def say(self, text: str) -> None:
        self.console.print(printable_text(text))

    def warn(self, text: str) -> None:
        self.console.print(printable_text(text), style="yellow")

    def hear(self, event: Event) -> None:
        with self.lock:
            super().hear(event)
            match event:
                case EpochEnded(text, last) if last:
                    self.say(text)
                case Began(what) if (line := self.line_of(what)) is not None:
                    self.lines[what] = line
                    self.update()
                case Advanced(what, n) if what in self.counts:
                    self.counts[what].advance(n)
                case Ended(what) if what in self.lines:
                    self.live.refresh()  # even what ends at once is seen
                    del self.lines[what]
                    self.counts.pop(what, None)
                    self.update()

    def line_of(self, what: Hashable) -> Text | None:
        """Return the text that shows an activity; None for one that is not shown."""
        match what:
            case StatusLine(text):
                return text
            case Whole(text_of_all):
                return lambda width: text_of_all()
            case Training() as training:
                meter = self.meters[training.path]
                return lambda width: fitted([name_of(training), training.path.name], meter.text(), width)
            case Progress(description, total, unit):
                counted = self.counts[what] = Throughput(total)
                done = f"/{total} {unit}".rstrip()
                return lambda width: "  ".join([description, f"{counted.done}{done}", *left(counted.seconds_left)])
        return None

    def update(self) -> None:
        from rich.live import Live

        if self.live is None and self.lines:
            self.live = Live(
                get_renderable=self.render, console=self.console, transient=True, refresh_per_second=4,
                redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self.live.start()
        elif self.live is not None and not self.lines:
            self.live.stop()
            self.live = None

    def render(self) -> Any:
        """Return the lines as they are now, that of the whole plan last."""
        from rich.text import Text as RichText

        width = self.console.width
        lines = sorted(self.lines.copy().items(), key=lambda item: isinstance(item[0], Whole))
        return RichText("\n".join(filter(None, (printable(text(width))[:width] for _, text in lines))), no_wrap=True)


def fitted(names: list[str], text: str, width: int) -> str:
    """Return ``<name>  <text>`` with the first of the names that fits the width, else with the last one."""
    for name in names:
        if len(name) + 2 + len(text) <= width:
            return f"{name}  {text}".rstrip()
    return f"{names[-1]} {text}".replace("  ", " ").rstrip()


def make_reporter(quiet: bool) -> Reporter:
    """Return the reporter that suits standard error."""
    if quiet:
        return QuietReporter()
    return RichReporter() if sys.stderr.isatty() else PlainReporter()
