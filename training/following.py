"""One network trained by several processes: the first runs the program, the others follow it.

Under ``torchrun`` only the first process plans, reads and writes runs, holds locks, says anything, scores, prunes,
evaluates and compares. Each time that it trains a segment it hands its training state over, and all of them take the
segment's steps together, each on its share of every batch. So nothing is written or locked twice, and a mask cannot
differ between processes. Batches, their order and their augmentation are those of one process.
"""

import io
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim

from foundations.environment import same_data
from foundations.errors import UsageError
from pruning import Mask
from training.arithmetic import find_memory_format
from training.data import DataHparams, TrainingData
from training.distributed import Together, processes
from training.hparams import TrainingHparams
from training.state import Noise, TrainState, forward_of


@dataclass(frozen=True)
class Segment:
    """What the followers need to train a segment, from ``iteration`` to ``until``."""

    data: DataHparams
    fingerprint: str
    """Of the data as the first process has them."""
    hparams: TrainingHparams
    threads: int
    """Of the first process, with which the run may have begun."""
    noise: Noise
    iteration: int
    until: int
    state: bytes | None
    """The network, its optimizer and mask, as ``torch.save`` writes them; None for those that the processes have
    trained last, whose numbers follow."""


@contextmanager
def handed_over(state: TrainState, data: TrainingData, hparams: TrainingHparams, until: int) -> Iterator[None]:
    """Inside, the processes train from ``state`` to ``until`` in step with each other; of one process, it does.

    Afterwards the running metrics are those of all of them.
    """
    ours = processes()
    if not isinstance(ours, Together):
        yield
        return
    with ours.in_step():
        if ours.share.number == 0:
            hand_over(ours, state, data, hparams, until)
        yield
        ours.sum(state.running_metrics)
        ours.handed_over = identity(state)


def hand_over(ours: Together, state: TrainState, data: TrainingData, hparams: TrainingHparams, until: int) -> None:
    """Send the training state to the other processes: all of it, or only its numbers where they have the rest."""
    before, now = ours.handed_over, identity(state)
    known = len(before) == len(now) and all(map(operator.is_, before, now))
    content = None if known else encoded(state)
    ours.announce(Segment(
        data.hparams, data.fingerprint, hparams, torch.get_num_threads(), state.noise, state.iteration, until, content,
    ))  # fmt: skip
    if known:
        ours.copy_from_first(numbers(state))


def identity(state: TrainState) -> list[object]:
    """Return objects that stay the same while nothing but the numbers in a training state changes."""
    return [state, state.model, state.optimizer, state.mask, *numbers(state)]


def numbers(state: TrainState) -> list[Tensor]:
    """Return the tensors that a step changes: network and optimizer."""
    entries = [state.optimizer.state.get(parameter, {}) for parameter in state.model.parameters()]
    of_optimizer = [entry[key] for entry in entries for key in sorted(entry) if isinstance(entry[key], Tensor)]
    return [*state.model.parameters(), *state.model.buffers(), *of_optimizer]


def encoded(state: TrainState) -> bytes:
    """Return network, optimizer and mask, with what they share.

    Raises:
        UsageError: the network is of a class that cannot be sent to another process.
    """
    mask = None if state.mask is None else dict(state.mask)
    content = io.BytesIO()
    try:
        torch.save((state.model, state.optimizer, mask), content)
    except Exception as error:  # whatever pickling somebody's class raises
        raise UsageError(
            f"{type(state.model).__name__} cannot be trained by several processes, since it cannot be sent to them: "
            f"{error}"
        ) from error
    return content.getvalue()


class Follower:
    """A process that takes part in whatever the first one trains."""

    def __init__(self, ours: Together) -> None:
        self.ours = ours
        self.state: TrainState | None = None

    def train(self, segment: Segment, data: TrainingData, train: Callable[..., None]) -> None:
        """Train a segment of the first process on ``data``, which it names, by ``training.loop.train``.

        Raises:
            UsageError: this process's data are others than those of the first one.
        """
        if not same_data(segment.fingerprint, data.fingerprint):
            raise UsageError(f"--dataset={segment.data.dataset}: another one than that of the first process")
        torch.set_num_threads(segment.threads)
        if segment.state is not None:
            self.state = decoded(segment, segment.state, data.device)
        else:
            assert self.state is not None, "the first segment comes with its state"
            self.ours.copy_from_first(numbers(self.state))
        self.state.noise, self.state.iteration = segment.noise, segment.iteration
        self.state.running_metrics.zero_()  # those of the first process count the steps before
        train(self.state, data, segment.hparams, until=segment.until)


def decoded(segment: Segment, content: bytes, device: torch.device) -> TrainState:
    """Return the training state that :func:`encoded` has made bytes of."""
    made: tuple[nn.Module, optim.Optimizer, dict[str, Tensor] | None]
    made = torch.load(io.BytesIO(content), map_location=device, weights_only=False)  # of this program's own making
    model, optimizer, mask = made
    state = TrainState(
        model, forward_of(model, segment.hparams), optimizer, segment.noise,
        memory_format=find_memory_format(model, device),
        running_metrics=torch.zeros(3, dtype=torch.float64, device=device), tried_out=True,
    )  # fmt: skip
    if mask is not None:
        state.prune(Mask(mask))
    return state
