"""What a user sees of a long computation: a line for each training on a terminal, a plain line an epoch in a log."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiments.meters import Meter, TrainingMeter, left, name_of
from foundations.reporting import Advance, Reporter, Training

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
        print(text, file=sys.stderr, flush=True)

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
        print(text, file=sys.stderr, flush=True)


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
        self.console.print(text)

    def warn(self, text: str) -> None:
        self.console.print(text, style="yellow")

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
        texts = [line(width)[:width] for line in list(self.lines)]
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
