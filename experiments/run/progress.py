"""What a user sees of a long computation, and how long it will take."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foundations.reporting import Advance, Reporter, Training
from foundations.steps import Step
from foundations.text import printable, printable_text

WINDOW = 30.0  # seconds over which a speed is averaged

Clock = Callable[[], float]


class Meter:
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
        """So many more are done."""
        self.done += n
        now = self.clock()
        self.marks.append((now, self.done))
        while len(self.marks) > 2 and now - self.marks[0][0] > WINDOW:
            self.marks.popleft()

    @property
    def speed(self) -> float:
        """How many are done in a second; 0 before the first."""
        (then, before), (now, done) = self.marks[0], self.marks[-1]
        return (done - before) / (now - then) if now > then else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until the total is reached at that speed; None as long as there is none."""
        return (self.total - self.done) / self.speed if self.speed else None


class TrainingMeter(Meter):
    """The same of a training, whose last row of metrics is shown beside."""

    def __init__(self, training: Training, clock: Clock = time.monotonic) -> None:
        super().__init__(training.until, training.first, clock)
        self.training, self.row = training, dict(training.last)

    @property
    def images_a_second(self) -> float:
        """Images trained on in a second, evaluation and saving included."""
        return self.speed * self.training.batch_size

    def text(self) -> str:
        """``ep 3/160  it 98/5120  loss 0.3121  acc 91.20%  12.3k img/s  0:03:12 left``; of the test set, last epoch."""
        per_epoch = self.training.iterations_per_epoch
        parts = [f"ep {self.done // per_epoch}/{-(-self.total // per_epoch)}", f"it {self.done}/{self.total}"]
        if self.row.get("test_loss") is not None:
            parts += [f"loss {self.row['test_loss']:.3f}", f"acc {self.row['test_accuracy']:.1%}"]
        if self.speed:
            parts.append(f"{brief(self.images_a_second)} img/s")
        return "  ".join([*parts, *left(self.seconds_left)])

    def step(self, iteration: int) -> str:
        """``3ep``."""
        return Step.at(iteration, self.training.iterations_per_epoch).short

    def epoch(self, row: Mapping[str, Any]) -> str:
        """A line of a log: ``<run>/level_1: 3ep of 160ep, test accuracy 91.20%, ... images/s``."""
        self.row = dict(row)
        loss = row["test_loss"]
        parts = [
            f"{name_of(self.training)}: {self.step(row['iteration'])} of {self.step(self.total)}",
            f"test accuracy {row['test_accuracy']:.2%}", f"loss {loss:.4f}",
        ]  # fmt: skip
        if self.speed:
            parts.append(f"{brief(self.images_a_second)} images/s")
        return ", ".join([*parts, *left(self.seconds_left if row["iteration"] < self.total else None)])


def name_of(training: Training) -> str:
    """The path below the root: ``lottery_<hash>/replicate_1/level_1``."""
    parts = training.path.parts
    run = next((place for place, part in enumerate(parts) if part.startswith("replicate_")), len(parts) - 1)
    return "/".join(parts[max(run - 1, 0) :])


def left(seconds: float | None) -> list[str]:
    """``["0:03:12 left"]``; nothing if it is not known."""
    return [] if seconds is None else [f"{duration(seconds)} left"]


def duration(seconds: float) -> str:
    """``0:03:12``; ``2 d 5 h`` from two days on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24} d {hours % 24} h" if hours >= 48 else f"{hours}:{minutes:02}:{rest:02}"


def brief(number: float) -> str:
    """``845``, ``12.3k``, ``1.2M``."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= 0.99995 * size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


Text = Callable[[int], str]


class MeteringReporter(Reporter):
    """Measures each training, and says a line at the end of each epoch."""

    def __init__(self) -> None:
        self.meters: dict[Path, TrainingMeter] = {}

    @contextmanager
    def training(self, training: Training) -> Iterator[Advance]:
        meter = self.meters[training.path] = TrainingMeter(training)
        try:
            yield meter.advance
        finally:
            del self.meters[training.path]

    def row(self, path: Path, row: Mapping[str, Any]) -> None:
        if (meter := self.meters.get(path)) is not None:
            self.epoch(meter.epoch(row), last=row["iteration"] >= meter.total)


class PlainReporter(MeteringReporter):
    """Lines on standard error, for logs; those of epochs with the time and how far all of it is."""

    def __init__(self) -> None:
        super().__init__()
        self.of_all: Callable[[], str] | None = None

    def say(self, text: str) -> None:
        print(printable_text(text), file=sys.stderr, flush=True)

    warn = say

    def epoch(self, text: str, last: bool) -> None:
        of_all = self.of_all() if self.of_all is not None else ""
        self.say(f"{time.strftime('%H:%M:%S')} {text}" + (f" ({of_all})" if of_all else ""))

    @contextmanager
    def whole(self, text: Callable[[], str]) -> Iterator[None]:
        self.of_all = text
        try:
            yield
        finally:
            self.of_all = None


class QuietReporter(Reporter):
    """Warnings only."""

    def warn(self, text: str) -> None:
        print(printable_text(text), file=sys.stderr, flush=True)


class RichReporter(MeteringReporter):
    """Lines on a terminal; below them one for each thing that goes on, which changes in place."""

    def __init__(self) -> None:
        from rich.console import Console

        super().__init__()
        self.console = Console(stderr=True, highlight=False, markup=False)
        self.lines: list[Text] = []
        self.live: Any = None
        self.lock = threading.RLock()  # worker processes are waited for in threads

    def say(self, text: str) -> None:
        self.console.print(printable_text(text))

    def warn(self, text: str) -> None:
        self.console.print(printable_text(text), style="yellow")

    def epoch(self, text: str, last: bool) -> None:
        if last:
            self.say(text)

    @contextmanager
    def progress(self, description: str, total: int, unit: str = "") -> Iterator[Advance]:
        meter = Meter(total)

        def text(width: int) -> str:
            return "  ".join([description, f"{meter.done}/{total} {unit}".rstrip(), *left(meter.seconds_left)])

        with self.line(text):
            yield meter.advance

    @contextmanager
    def training(self, training: Training) -> Iterator[Advance]:
        with super().training(training) as advance:
            meter = self.meters[training.path]
            with self.line(lambda width: fitted([name_of(training), training.path.name], meter.text(), width)):
                yield advance

    @contextmanager
    def whole(self, text: Callable[[], str]) -> Iterator[None]:
        with self.line(lambda width: text()):
            yield

    @contextmanager
    def line(self, text: Text) -> Iterator[None]:
        from rich.live import Live

        with self.lock:
            self.lines.append(text)
            if self.live is None:
                self.live = Live(
                    get_renderable=self.render, console=self.console, transient=True, refresh_per_second=4,
                    redirect_stdout=False, redirect_stderr=False,
                )  # fmt: skip
                self.live.start()
        try:
            yield
        finally:
            with self.lock:
                if len(self.lines) == 1:
                    self.live.stop()
                    self.live = None
                self.lines.remove(text)

    def render(self) -> Any:
        """The lines as they are now, that of the whole last."""
        from rich.text import Text as RichText

        width = self.console.width
        texts = [printable(line(width))[:width] for line in list(self.lines)]
        return RichText("\n".join(filter(None, [*texts[1:], *texts[:1]])), no_wrap=True)


def fitted(names: list[str], text: str, width: int) -> str:
    """A line with the first of the names that fits before the text; else the last, closer together."""
    for name in names:
        if len(name) + 2 + len(text) <= width:
            return f"{name}  {text}".rstrip()
    return f"{names[-1]} {text}".replace("  ", " ").rstrip()


def make_reporter(quiet: bool) -> Reporter:
    """The reporter that suits standard error."""
    if quiet:
        return QuietReporter()
    return RichReporter() if sys.stderr.isatty() else PlainReporter()
