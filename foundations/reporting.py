"""How a long computation speaks: an argument, handed down from whoever started it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Reporter:
    """Says nothing; the command line has ones that write to a terminal or a log."""

    def say(self, text: str) -> None:
        """A line of information."""

    def warn(self, text: str) -> None:
        """A line that the user should not miss."""

    @contextmanager
    def progress(self, description: str, total: int, unit: str = "") -> Iterator[Callable[[int], None]]:
        """Yields ``advance(n)``, to be called as the work goes on (once per several batches, not once each)."""
        yield lambda n: None

    def sleep(self, seconds: float) -> None:
        """For what waits for another process; other computations of this one may go on meanwhile."""
        time.sleep(seconds)
