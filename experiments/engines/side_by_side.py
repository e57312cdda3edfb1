"""Several tasks at once in one process, over one copy of the data: what fills a GPU with small networks."""

import contextlib
import threading
from collections.abc import Iterator

import torch

from experiments.engines.registry import Failure, attempt
from experiments.engines.schedule import Schedule
from experiments.engines.turns import InTurns, Turns
from experiments.plan import Plan
from experiments.tasks import Task
from experiments.workspace import Workspace


def run(plan: Plan, session: Workspace) -> list[Failure]:
    """``session.options.at_once`` tasks in turns, every few steps; on a GPU each has a stream of its own.

    The results are those of one task after the other, since each finds the process as it has left it. One exception:
    all CUDA graphs of a process read the seed of their random numbers from the same memory, so that on a GPU networks
    that draw some in a step (dropout) need uncaptured steps here.
    """
    context, at_once = session.context, min(session.options.at_once, len(plan))
    turns, stream = Turns(context.interruption), OwnStream(context.device)

    def do(task: Task) -> Failure | None:
        with turns.turn(), stream.current():  # each with reporters of its own, as it has a log of its own
            return attempt(task, session.heard_by(InTurns(turns, context.reporter)))

    context.reporter.say(f"{len(plan)} tasks, {at_once} of them at once in this process")
    with torch.random.fork_rng([context.device] if context.device.type == "cuda" else []):
        try:
            return Schedule(plan, at_once, do, turns.stop, context.reporter).run()
        finally:
            turns.at_first()


class OwnStream(threading.local):
    """A CUDA stream for each thread that uses this; where there is no CUDA, nothing."""

    def __init__(self, device: torch.device) -> None:  # called anew in every thread
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Inside, the thread's work waits for no other's, but for what was there before."""
        if self.stream is None:
            yield
            return
        torch.cuda.synchronize(self.device)  # the data may have come on any stream
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
            yield
            self.stream.synchronize()
