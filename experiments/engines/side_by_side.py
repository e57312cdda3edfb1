"""Several tasks at once in one process, over one copy of the data: what fills a GPU with small networks."""

import contextlib
from collections.abc import Iterator

import torch

from experiments.engines.registry import Failure, attempt
from experiments.engines.schedule import Schedule
from experiments.engines.turns import InTurns, Turns
from experiments.plan import Plan
from experiments.tasks import Task
from experiments.workspace import Workspace


def run(plan: Plan, session: Workspace) -> list[Failure]:
    """``session.options.at_once`` tasks in turns, every few steps; each has a CUDA stream of its own.

    Their results are those of one after the other, bit for bit: each finds the process as it left it.
    """
    context, at_once = session.context, min(session.options.at_once, len(plan))
    turns = Turns(context.interruption)

    def do(task: Task) -> Failure | None:
        with turns.turn(), own_stream(context.device):  # each with reporters of its own, as it has a log of its own
            return attempt(task, session.heard_by(InTurns(turns, context.reporter)))

    context.reporter.say(f"{len(plan)} tasks, {at_once} of them at once in this process")
    with torch.random.fork_rng([context.device] if context.device.type == "cuda" else []):
        try:
            return Schedule(plan, at_once, do, turns.stop, context.reporter).run()
        finally:
            turns.at_first()


@contextlib.contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Inside, this thread's work on a GPU waits for no other's, but for what was there before."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)
    torch.cuda.synchronize(device)  # the data may have come on any stream
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield
        stream.synchronize()  # or its memory could be given to others while it is still in use
