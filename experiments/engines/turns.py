"""Several threads of which one runs at a time, so that each finds PyTorch's settings as it left them.

On a CPU that gains nothing. On a GPU a thread only hands its work to the device: while another has its turn, the
device still computes.
"""

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import torch

from foundations.interruption import Interrupted, Interruption
from foundations.reporting import Advance, Reporter, Several, Training

DYNAMO = ("recompile_limit", "accumulated_recompile_limit")


class Turns:
    """Who runs, and in which order the others come."""

    def __init__(self, interruption: Interruption) -> None:
        self.interruption = interruption
        self.stopped = False
        self._queue: deque[object] = deque()  # the first of it runs
        self._changed = threading.Condition()
        self.at_first = settings()
        """Puts PyTorch's settings back to what they were in the beginning."""

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Inside, this thread runs alone but for where it calls :meth:`pass_on` and :meth:`sleep`."""
        self._take()
        try:
            self.at_first()
            self._check()
            yield
        finally:
            self._give()

    def pass_on(self) -> None:
        """Lets all others that wait have a turn first.

        Raises:
            Interrupted: the process was asked to stop and this thread does not defer that, or others have failed.
        """
        with self._away(), self._changed:  # nobody comes in between
            self._give()
            self._take()

    def sleep(self, seconds: float) -> None:
        """The same, and nobody waits for this thread for so long."""
        with self._away():
            self._give()
            time.sleep(seconds)
            self._take()

    def stop(self) -> None:
        """Every thread ends at its next turn; if the process was asked to stop, trainings end by themselves."""
        self.stopped = True

    @contextlib.contextmanager
    def _away(self) -> Iterator[None]:
        put_back = settings()
        yield
        put_back()
        self._check()

    def _check(self) -> None:
        with self.interruption.deferred():  # leaving it raises Interrupted, except inside another one
            pass
        if self.stopped and not self.interruption.asked():
            raise Interrupted

    def _take(self) -> None:
        place = object()
        with self._changed:
            self._queue.append(place)
            self._changed.wait_for(lambda: self._queue[0] is place)

    def _give(self) -> None:
        with self._changed:
            self._queue.popleft()
            self._changed.notify_all()


def settings() -> Callable[[], None]:
    """Puts back, when it is called, those of PyTorch's settings that hold for the whole process."""
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    tf32, benchmark = (cudnn.allow_tf32, matmul.allow_tf32), cudnn.benchmark
    dynamo = sys.modules.get("torch._dynamo.config")  # slow to import: if nothing is compiled, it is not there
    limits = {name: getattr(dynamo, name) for name in DYNAMO if dynamo is not None}

    def put_back() -> None:
        torch.set_num_threads(threads)
        torch.set_rng_state(random)
        torch.use_deterministic_algorithms(deterministic)
        cudnn.allow_tf32, matmul.allow_tf32 = tf32
        cudnn.benchmark = benchmark
        for name, limit in limits.items():
            setattr(dynamo, name, limit)

    return put_back


class InTurns(Several):
    """Passes everything on, and the turn wherever a computation says that it has advanced."""

    def __init__(self, turns: Turns, *reporters: Reporter) -> None:
        super().__init__(*reporters)
        self.turns = turns

    @contextlib.contextmanager
    def progress(self, description: str, total: int, unit: str = "") -> Iterator[Advance]:
        with super().progress(description, total, unit) as advance:
            yield self._then_pass_on(advance)

    @contextlib.contextmanager
    def training(self, training: Training) -> Iterator[Advance]:
        with super().training(training) as advance:
            yield self._then_pass_on(advance)

    def _then_pass_on(self, advance: Advance) -> Advance:
        def advance_and_pass_on(n: int) -> None:
            advance(n)
            self.turns.pass_on()

        return advance_and_pass_on

    def sleep(self, seconds: float) -> None:
        self.turns.sleep(seconds)
