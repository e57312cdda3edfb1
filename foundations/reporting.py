"""How a long computation speaks: a reporter is an argument, handed down from whoever started it.

Whatever happens is an event, and a reporter has one method that hears events. What goes on for a while is an activity:
it begins, advances, and ends.
"""

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Advance = Callable[[int], None]


# Activities ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training in the directory ``path``; it advances by optimizer steps."""

    path: Path
    first: int
    """The iteration that it goes on from."""
    until: int
    """The one that it goes on to."""
    iterations_per_epoch: int
    batch_size: int
    last: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The last row of its metrics."""


@dataclass(frozen=True, eq=False)
class Progress:
    """Anything else that is counted up to a total: ``Decoding cifar10``, 60000, ``images``."""

    description: str
    total: int
    unit: str = ""


@dataclass(frozen=True, eq=False)
class StatusLine:
    """As long as it goes on, ``text(width)`` is a line that says how far something is."""

    text: Callable[[int], str]


@dataclass(frozen=True, eq=False)
class Whole:
    """As long as it goes on, ``text()`` says how far all of it is."""

    text: Callable[[], str]


WAITING = "waiting"
"""For another process; other computations of this one may go on meanwhile."""


# Events --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """A line for the user; ``logging.WARNING`` is one that they should not miss."""

    text: str
    level: int = logging.INFO


@dataclass(frozen=True)
class Began:
    """An activity, or a task of the plan (here or in another process), has begun."""

    what: Hashable


@dataclass(frozen=True)
class Advanced:
    """So many more of what an activity counts are done; of a task, optimizer steps."""

    what: Hashable
    n: int


@dataclass(frozen=True)
class Ended:
    """An activity or a task has ended; a task may have failed."""

    what: Hashable
    failed: bool = False
    skipped: Sequence[Hashable] = ()
    """The tasks that are skipped since they depend on it."""


@dataclass(frozen=True)
class RowAdded:
    """A row was added to the metrics in the directory ``path``."""

    path: Path
    row: Mapping[str, Any]


@dataclass(frozen=True)
class EpochEnded:
    """What is shown at the end of an epoch, here or in another process; ``last`` of a training."""

    text: str
    last: bool


@dataclass(frozen=True)
class Left:
    """Nothing works in the directory ``path`` any more; its results stand there, if it came to any."""

    path: Path


Event = Said | Began | Advanced | Ended | RowAdded | EpochEnded | Left


# Reporters -----------------------------------------------------------------------------------------------------------


class Reporter:
    """Hears what happens, and does nothing about it; those of ``experiments.run.progress`` show it.

    Derive from it and override :meth:`say` and :meth:`warn` for what is said, :meth:`hear` for everything.
    """

    def hear(self, event: Event) -> None:
        """Take an event; what is said goes on to :meth:`say` or :meth:`warn`."""
        if isinstance(event, Said):
            (self.warn if event.level >= logging.WARNING else self.say)(event.text)

    def say(self, text: str) -> None:
        """Take a line of information."""

    def warn(self, text: str) -> None:
        """Take a line that the user should not miss."""

    @contextmanager
    def during(self, what: Hashable) -> Iterator[Advance]:
        """Inside, an activity goes on. Yields ``advance(n)``, to be called once per several batches, not once each."""
        self.hear(Began(what))
        try:
            yield lambda n: self.hear(Advanced(what, n))
        finally:
            self.hear(Ended(what))

    @contextmanager
    def progress(self, description: str, total: int, unit: str = "") -> Iterator[Advance]:
        """Inside, something goes on that counts up to ``total``; yields ``advance(n)``."""
        with self.during(Progress(description, total, unit)) as advance:
            yield advance


class Several(Reporter):
    """Passes every event on to several reporters."""

    def __init__(self, *reporters: Reporter) -> None:
        self.reporters = reporters

    @contextmanager
    def also(self, *reporters: Reporter) -> Iterator[None]:
        """Inside, these hear everything too."""
        self.reporters = (*self.reporters, *reporters)  # a new tuple: another thread may go through the old one
        try:
            yield
        finally:
            self.reporters = tuple(one for one in self.reporters if one not in reporters)

    def hear(self, event: Event) -> None:
        for reporter in self.reporters:
            reporter.hear(event)

    def say(self, text: str) -> None:
        self.hear(Said(text))

    def warn(self, text: str) -> None:
        self.hear(Said(text, logging.WARNING))
