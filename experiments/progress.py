"""What a user sees of a long computation: progress bars on a terminal, plain lines in a log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from foundations.reporting import Reporter


class PlainReporter(Reporter):
    """Lines on standard error, for logs."""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    warn = say


class QuietReporter(Reporter):
    """Warnings only."""

    def warn(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class RichReporter(Reporter):
    """Lines and progress bars on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False, markup=False)

    def say(self, text: str) -> None:
        self.console.print(text)

    def warn(self, text: str) -> None:
        self.console.print(text, style="yellow")

    @contextmanager
    def progress(self, description: str, total: int, unit: str = "") -> Iterator[Callable[[int], None]]:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
            TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.console, transient=True) as bars:
            task = bars.add_task(description, total=total)
            yield lambda n: bars.advance(task, n)


def make_reporter(quiet: bool) -> Reporter:
    """The reporter that suits standard error."""
    if quiet:
        return QuietReporter()
    return RichReporter() if sys.stderr.isatty() else PlainReporter()
