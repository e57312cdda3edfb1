"""Tasks side by side in this process, in threads that take turns.

Of these one runs at a time, so that each finds PyTorch's settings as it left them. On a CPU that gains nothing. On a
GPU a thread only hands its work to the device: while another has its turn, the device still computes.
"""

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import torch

from experiments.run.engine import Dispatcher, Failure
from experiments.run.in_process import attempt
from experiments.run.plan import Plan
from experiments.run.tasks import Task
from experiments.workspace import Workspace
from foundations.interruption import Interrupted, Interruption
from foundations.reporting import WAITING, Advanced, Began, Ended, Event, Progress, Reporter, Several, Training

DYNAMO = ("recompile_limit", "accumulated_recompile_limit")


class Turns:
    """The order in which threads run, one at a time."""

    def __init__(self, interruption: Interruption) -> None:
        self.interruption = interruption
        self.stopped = False
        self._queue: deque[object] = deque()  # the first of it runs
        self._changed = threading.Condition()
        self._own = threading.local()
        self.at_first = settings()
        """Puts PyTorch's settings back to what they were in the beginning."""

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Inside, this thread runs alone, except within :meth:`pass_on` and from :meth:`leave` to :meth:`come_back`."""
        self._take()
        try:
            self.at_first()
            self._check()
            yield
        finally:
            self._give()

    def pass_on(self) -> None:
        """Let all others that wait have a turn first.

        Raises:
            Interrupted: the process was asked to stop and this thread does not defer that, or others have failed.
        """
        put_back = settings()
        with self._changed:  # nobody comes in between
            self._give()
            self._take()
        put_back()
        self._check()

    def leave(self) -> Callable[[], None]:
        """Give up the turn; return what :meth:`come_back` needs."""
        put_back = settings()
        self._give()
        return put_back

    def come_back(self, put_back: Callable[[], None]) -> None:
        """Wait for a turn; raises like :meth:`pass_on`."""
        self._take()
        put_back()
        self._check()

    def stop(self) -> None:
        """End every thread at its next turn; if the process was asked to stop, trainings end by themselves."""
        self.stopped = True

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
            self._own.since = time.process_time()

    def _give(self) -> None:
        with self._changed:
            self._own.before = self.processor_seconds()
            self._queue.popleft()
            self._changed.notify_all()

    def processor_seconds(self) -> float:
        """Return the process's processor time in this thread's turns; call it within a turn."""
        return float(getattr(self._own, "before", 0.0) + time.process_time() - self._own.since)


def settings() -> Callable[[], None]:
    """Return a function that restores PyTorch's process-wide settings as they are now."""
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
    """Passes every event on, and hands over the turn whenever a computation advances or waits."""

    def __init__(self, turns: Turns, *reporters: Reporter) -> None:
        super().__init__(*reporters)
        self.turns = turns
        self.put_back: Callable[[], None] = lambda: None

    def hear(self, event: Event) -> None:
        super().hear(event)
        match event:
            case Advanced(Training() | Progress()):
                self.turns.pass_on()
            case Began(what) if what == WAITING:
                self.put_back = self.turns.leave()
            case Ended(what) if what == WAITING:
                self.turns.come_back(self.put_back)


def run_side_by_side(plan: Plan, session: Workspace) -> list[Failure]:
    """Do ``session.options.at_once`` tasks in turns, every few steps; on a GPU each has a stream of its own.

    The results are those of one task after the other, since each finds the process as it has left it. One exception:
    all CUDA graphs of a process read the seed of their random numbers from the same memory, so that on a GPU networks
    that draw some in a step (dropout) need uncaptured steps here.
    """
    context, at_once = session.context, min(session.options.at_once, len(plan))
    turns, stream = Turns(context.interruption), OwnStream(context.device)

    def do(task: Task) -> Failure | None:
        with turns.turn(), stream.current():  # each with reporters of its own, as it has a log of its own
            return attempt(task, session.heard_by(InTurns(turns, context.reporter)), turns.processor_seconds)

    context.reporter.say(f"{len(plan)} tasks, {at_once} of them at once in this process")
    with torch.random.fork_rng([context.device] if context.device.type == "cuda" else []):
        try:
            return Dispatcher(plan, at_once, do, turns.stop, context.reporter).run()
        finally:
            turns.at_first()


class OwnStream(threading.local):
    """A CUDA stream for each thread that uses this; where there is no CUDA, nothing."""

    def __init__(self, device: torch.device) -> None:  # called anew in every thread
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Inside, the thread's work goes to its own stream, after all work that was submitted before."""
        if self.stream is None:
            yield
            return
        torch.cuda.synchronize(self.device)  # the data may have come on any stream
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
            yield
            self.stream.synchronize()
