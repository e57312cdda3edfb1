"""How a long computation speaks: an argument, handed down from whoever started it."""

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Advance = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training that goes on now.

    Args:
        path: its directory.
        first: the iteration it goes on from.
        until: the one it goes on to.
        iterations_per_epoch: iterations of an epoch.
        batch_size: images of an iteration.
        last: the last row of its metrics.
    """

    path: Path
    first: int
    until: int
    iterations_per_epoch: int
    batch_size: int
    last: Mapping[str, Any] = field(default_factory=dict)


class Reporter:
    """Says nothing; those of ``experiments.run.progress`` write to a terminal or a log, and others count or record."""

    def say(self, text: str) -> None:
        """A line of information."""

    def warn(self, text: str) -> None:
        """A line that the user should not miss."""

    @contextmanager
    def progress(self, description: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Yields ``advance(n)``, to be called as the work goes on (once per several batches, not once each)."""
        yield lambda n: None

    def sleep(self, seconds: float) -> None:
        """For what waits for another process; other computations of this one may go on meanwhile."""
        time.sleep(seconds)

    # A training ------------------------------------------------------------------------------------------------

    @contextmanager
    def training(self, training: Training) -> Iterator[Advance]:
        """Like :meth:`progress`, of optimizer steps."""
        yield lambda steps: None

    def row(self, path: Path, row: Mapping[str, Any]) -> None:
        """A row was added to the metrics in the directory ``path``."""

    def epoch(self, text: str, last: bool) -> None:
        """What is shown at the end of an epoch, here or in another process; ``last`` of a training."""

    # Tasks -----------------------------------------------------------------------------------------------------

    def begun(self, task: Hashable) -> None:
        """A task of the plan is begun, here or in another process."""

    def advanced(self, task: Hashable, steps: int) -> None:
        """Another process has taken so many optimizer steps of a task."""

    def ended(self, task: Hashable, failed: bool, skipped: Sequence[Hashable] = ()) -> None:
        """A task has ended, and those have been skipped that depend on it."""

    def left(self, path: Path) -> None:
        """Nothing works in the directory ``path`` any more; its results stand there, if it came to any."""

    @contextmanager
    def line(self, text: Callable[[int], str]) -> Iterator[None]:
        """Inside, ``text(width)`` is a line that says how far something is, for as long as it goes on."""
        yield

    @contextmanager
    def whole(self, text: Callable[[], str]) -> Iterator[None]:
        """Inside, ``text()`` says how far all of it is."""
        yield


class Several(Reporter):
    """Passes everything on to several reporters."""

    def __init__(self, *reporters: Reporter) -> None:
        self.reporters = list(reporters)

    @contextmanager
    def also(self, *reporters: Reporter) -> Iterator[None]:
        """Inside, these hear everything too."""
        self.reporters += reporters
        try:
            yield
        finally:
            for reporter in reporters:
                self.reporters.remove(reporter)

    def say(self, text: str) -> None:
        for reporter in self.reporters:
            reporter.say(text)

    def warn(self, text: str) -> None:
        for reporter in self.reporters:
            reporter.warn(text)

    @contextmanager
    def progress(self, description: str, total: int, unit: str = "") -> Iterator[Advance]:
        with ExitStack() as stack:
            advances = [stack.enter_context(r.progress(description, total, unit)) for r in self.reporters]
            yield lambda n: call_all(advances, n)

    @contextmanager
    def training(self, training: Training) -> Iterator[Advance]:
        with ExitStack() as stack:
            advances = [stack.enter_context(r.training(training)) for r in self.reporters]
            yield lambda steps: call_all(advances, steps)

    def row(self, path: Path, row: Mapping[str, Any]) -> None:
        for reporter in self.reporters:
            reporter.row(path, row)

    def epoch(self, text: str, last: bool) -> None:
        for reporter in self.reporters:
            reporter.epoch(text, last)

    def begun(self, task: Hashable) -> None:
        for reporter in self.reporters:
            reporter.begun(task)

    def advanced(self, task: Hashable, steps: int) -> None:
        for reporter in self.reporters:
            reporter.advanced(task, steps)

    def ended(self, task: Hashable, failed: bool, skipped: Sequence[Hashable] = ()) -> None:
        for reporter in self.reporters:
            reporter.ended(task, failed, skipped)

    def left(self, path: Path) -> None:
        for reporter in self.reporters:
            reporter.left(path)

    @contextmanager
    def line(self, text: Callable[[int], str]) -> Iterator[None]:
        with ExitStack() as stack:
            for reporter in self.reporters:
                stack.enter_context(reporter.line(text))
            yield

    @contextmanager
    def whole(self, text: Callable[[], str]) -> Iterator[None]:
        with ExitStack() as stack:
            for reporter in self.reporters:
                stack.enter_context(reporter.whole(text))
            yield


def call_all(advances: Sequence[Advance], n: int) -> None:
    """Tells all of them."""
    for advance in advances:
        advance(n)
