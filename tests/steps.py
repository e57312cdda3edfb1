"""Watching the optimizer steps of a process, in the only place that replaces ``training.loop.step``."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from training import loop
from training.state import TrainState


@dataclass
class Steps:
    """The steps taken so far, and what is done before each.

    Args:
        taken: the iteration of each step that has been taken.
        before: functions called with the state before each step; one that raises prevents it.
    """

    taken: list[int] = field(default_factory=list)
    before: list[Callable[[TrainState], None]] = field(default_factory=list)


@contextlib.contextmanager
def watched_steps() -> Iterator[Steps]:
    """Watches all steps taken inside."""
    steps, real = Steps(), loop.step

    def watched(state: TrainState, *rest: object) -> None:
        for look in steps.before:
            look(state)
        iteration = state.iteration
        real(state, *rest)  # type: ignore[arg-type]
        steps.taken.append(iteration)

    loop.step = watched  # type: ignore[assignment]
    try:
        yield steps
    finally:
        loop.step = real
