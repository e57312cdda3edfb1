"""The training loop. It trains a segment, so that rewinding, resuming and branching are all the same thing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundations.errors import UsageError, summary_of
from foundations.seeds import seed_global
from training.arithmetic import arithmetic, convert, fastest_convolutions, room_for_programs
from training.data import Batch, TrainingData
from training.distributed import processes
from training.following import handed_over
from training.hparams import TrainingHparams
from training.optimizers import forget_gradients, set_learning_rate
from training.schedules import learning_rate
from training.state import TrainState
from training.trial import check_scores, odd_type

T = TypeVar("T")
BLOCK = 10  # steps between two calls of `advance`; those that one CUDA graph holds


def train(
    state: TrainState,
    data: TrainingData,
    hparams: TrainingHparams,
    *,
    until: int,
    advance: Callable[[int], None] = lambda steps: None,
    asked: Callable[[], bool] = lambda: False,
) -> None:
    """Train ``state`` from its iteration to iteration ``until``, or to the step after which ``asked`` to stop.

    Where a replay holds several steps, that is the last of them.

    Training 0 -> b equals training 0 -> a, stopping, saving, restoring, and training a -> b, bit for bit on one
    device: everything random is drawn by epoch or step from the state's named generators. There is no host
    synchronization in a step. Under ``torchrun`` each process computes its share of every batch, and all ask as one.

    Raises:
        UsageError: the network cannot be trained on these data (see ``TrainState.try_out``); before the first step.
    """
    if not state.tried_out:
        state.try_out(data)
    state.model.train()
    asked, share = processes().agreed(asked), processes().share
    gpus = [data.device] if data.device.type == "cuda" else []
    with (
        torch.random.fork_rng(gpus), arithmetic(hparams, data.device), fastest_convolutions(),
        room_for_programs(hparams), handed_over(state, data, hparams, until),
    ):  # fmt: skip
        while state.iteration < until:
            epoch, first = divmod(state.iteration, data.iterations_per_epoch)
            last = min(data.iterations_per_epoch, first + until - state.iteration)
            if first == 0:
                state.running_metrics.zero_()
            for block in blocks(data.batches(state.noise.epoch(epoch), first, last, share), BLOCK):
                before = state.iteration
                for batches in together(state, block, data):
                    step(state, batches, hparams, data)
                    if asked():
                        break
                advance(state.iteration - before)
                if asked():
                    return


def blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of ``size`` items; the last may be shorter."""
    iterator = iter(items)
    while block := list(islice(iterator, size)):
        yield block


def together(state: TrainState, block: list[Batch], data: TrainingData) -> list[list[Batch]]:
    """Return ``block`` in parts, each for one call of :func:`step`: a whole block may be one replay."""
    captured = state.captured_step
    is_one = captured is not None and captured.several_at_once and len(block) == BLOCK and is_whole(block[-1], data)
    return [block] if is_one else [[batch] for batch in block]


def is_whole(batch: Batch, data: TrainingData) -> bool:
    """Return whether a batch has the size of most; only the last of an epoch may be smaller."""
    return len(batch[0]) == data.batch_size


def step(state: TrainState, batches: Sequence[Batch], hparams: TrainingHparams, data: TrainingData) -> None:
    """Take an optimizer step on each of ``batches``: on one, or on several that are replayed at once.

    Whole batches may be replayed; the last of an epoch, if it is smaller, is not.
    """
    seed_global(state.noise.step(state.iteration, processes().share.number), data.device)  # several draw nothing
    rates = []
    for iteration in range(state.iteration, state.iteration + len(batches)):
        set_learning_rate(state.optimizer, learning_rate(hparams, iteration, data.iterations_per_epoch))
        rates.append([group["lr"] for group in state.optimizer.param_groups])
    work = partial(compute, state, hparams, data)
    if state.captured_step is not None and is_whole(batches[0], data):
        state.captured_step.run(work, batches, rates, state.optimizer)
    else:
        [batch] = batches
        work(batch)
    state.iteration += len(batches)


def compute(state: TrainState, hparams: TrainingHparams, data: TrainingData, batch: Batch) -> None:
    """Compute a step on the device. It may be captured there: nothing in it depends on a value.

    The mask is applied after the optimizer's step, since momentum and weight decay move pruned weights.
    """
    inputs, labels = data.fetch(batch)
    outputs = state.forward(convert(inputs, state.memory_format))
    loss = F.cross_entropy(outputs, labels, label_smoothing=hparams.label_smoothing)
    forget_gradients(state.optimizer)
    loss.backward()
    processes().average_gradients(state.model, len(labels))
    if hparams.clip_grad_norm:
        clip_gradients(state, hparams.clip_grad_norm)
    state.optimizer.step()
    state.apply_mask()
    with torch.no_grad():
        correct = (outputs.argmax(1) == labels).sum()
        size = torch.full_like(correct, len(labels))
        state.running_metrics += torch.stack([loss * size, correct, size])


def clip_gradients(state: TrainState, largest: float) -> None:
    """Scale gradients, ``g <- g * min(1, largest / ||g||)``, the norm being that of all parameters together.

    Pascanu, Mikolov & Bengio 2013, arXiv 1211.5063. Pruned weights have no part in the norm, so that it is that of the
    compact network. There is no host synchronization in it.
    """
    if state.applier is not None:
        state.applier.mask_gradients()
    nn.utils.clip_grad_norm_(state.model.parameters(), largest)


@torch.no_grad()  # not inference_mode: what a network keeps of its first call has to serve in training too
def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Return mean cross entropy and accuracy (0 to 1) of ``model`` in evaluation mode; its mode is put back.

    Args:
        model: gives scores, (B, classes).
        batches: pairs of images, (B, C, H, W), and labels, (B,), whole numbers; every image counts alike.

    Raises:
        UsageError: there are no batches, or they or the outputs are of another kind.
    """
    was_training = model.training
    model.eval()
    totals: list[Tensor] = []
    size = 0
    try:
        for batch in batches:
            inputs, labels = checked_pair(batch)
            try:
                outputs = model(inputs)
            except RuntimeError as error:
                if hint := odd_type(model):
                    raise UsageError(f"evaluate: the network failed{hint}: {summary_of(error)}") from error
                outputs = model(convert(inputs, torch.contiguous_format))  # as it needs for x.view(len(x), -1)
            if size == 0:
                check_scores(outputs, len(labels))
            outputs = outputs.float()
            loss = F.cross_entropy(outputs, labels, reduction="sum")
            totals.append(torch.stack([loss, (outputs.argmax(1) == labels).sum()]))
            size += len(labels)
    finally:
        model.train(was_training)
    if size == 0:
        raise UsageError("evaluate: there are no images")
    loss_sum, correct = torch.stack(totals).cpu().double().sum(0).tolist()
    return {"loss": loss_sum / size, "accuracy": correct / size}


def checked_pair(batch: object) -> tuple[Tensor, Tensor]:
    """Return images and labels, these as int64; raise ``UsageError`` if a batch is no such pair."""
    if not isinstance(batch, tuple | list) or len(batch) != 2 or not all(isinstance(part, Tensor) for part in batch):
        raise UsageError(f"evaluate: a batch is a {type(batch).__name__}; expected two tensors: images and labels")
    inputs, labels = batch
    if labels.is_floating_point() or labels.shape != (len(inputs),):
        found = f"{labels.dtype} of shape {tuple(labels.shape)}"
        raise UsageError(f"evaluate: the labels are {found}; expected a whole number for each of {len(inputs)} images")
    return inputs, labels.long()
