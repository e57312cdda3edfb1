"""When a checkpoint is written while a training goes on."""

import contextlib
from collections.abc import Callable, Iterator

SECONDS = 5.0
"""Of work, between two checkpoints: the most that a kill loses, where checkpoints are quick."""
SHARE = 0.02
"""Of the time of a training that its checkpoints may take, where they are slow."""


class Pace:
    """A checkpoint is due after ``SECONDS`` of work, or later if at that pace they would take more than ``SHARE``.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ended, self._cost = clock(), 0.0

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return self._clock() - self._ended >= max(SECONDS, self._cost / SHARE)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, a checkpoint is written; what that takes is its cost."""
        began = self._clock()
        yield
        self._ended = self._clock()
        self._cost = self._ended - began
