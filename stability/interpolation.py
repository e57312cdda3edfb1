"""The straight line between two networks, walked in place on the device; BatchNorm statistics recalculated there."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from foundations.errors import UsageError
from stability.rows import BATCHNORM, LinePoint
from training.arithmetic import arithmetic
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.loop import evaluate
from training.metrics import VALIDATION

Batches = Iterable[tuple[Tensor, Tensor]]


def batchnorms(model: nn.Module) -> list[_BatchNorm]:
    """Return the layers that keep running statistics."""
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


@torch.no_grad()
def recalculate(model: nn.Module, batches: Batches) -> None:
    """Set the running statistics to those of ``batches``, in one forward pass over them.

    Every image counts the same, whatever its batch: the running mean becomes the average of the batches' means, the
    running variance that of their (unbiased) variances, each weighted by the size of its batch. A last batch of at most
    half the size joins the one before it, since statistics of few images, those of a single one above all, are
    none to normalize by. All other layers are in evaluation mode meanwhile. Interpolated weights do not produce
    interpolated activations, so statistics that are interpolated like weights can ruin a network that is otherwise
    good.
    """
    layers = batchnorms(model)
    before = [(layer.momentum, layer.training) for layer in layers]
    was_training = model.training
    model.eval()
    averages = [layer.register_forward_pre_hook(CumulativeAverage()) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    for inputs in without_small_rest(inputs for inputs, _ in batches):
        model(inputs)
    for average in averages:
        average.remove()
    model.train(was_training)
    for layer, (momentum, training) in zip(layers, before, strict=True):
        layer.momentum = momentum
        layer.train(training)


def without_small_rest(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the batches; one of at most half the size of the one before it, as the last may be, is joined to that."""
    held: Tensor | None = None
    for batch in batches:
        if held is not None and 2 * len(batch) <= len(held):
            batch, held = torch.cat([held, batch]), None
        if held is not None:
            yield held
        held = batch
    if held is not None:
        yield held


class CumulativeAverage:
    """Before each forward pass of a layer: gives the batch the weight that its values have among all so far.

    With batches of one size BatchNorm does the same with the momentum None, but reads the number of batches from the
    device, for which it waits.
    """

    def __init__(self) -> None:
        self.values = 0

    def __call__(self, layer: _BatchNorm, inputs: tuple[Tensor]) -> None:
        values = inputs[0].numel() // inputs[0].shape[1]
        self.values += values
        layer.momentum = values / self.values


RECALCULATION_BATCH = 500
HELD = 1 << 30
"""Bytes up to which the images that networks are measured on are held from point to point, split by split."""
Tensors = Mapping[str, Tensor]
Pair = tuple[Tensor, Tensor]


class Examples(NamedTuple):
    """Training images used: for the barrier on the training set, and for BatchNorm's statistics."""

    train: int
    batchnorm: int


def even_alphas(count: int) -> list[float]:
    """Return ``count`` evenly spaced numbers from 0 to 1, both included."""
    return [index / (count - 1) for index in range(count)]


def check_alike(first: Tensors, second: Tensors) -> None:
    """Raise ``UsageError`` if two networks differ in the names or shapes of their tensors."""
    if unlike := sorted(set(first) ^ set(second)):
        raise UsageError(f"These networks cannot be interpolated: only one of them has {', '.join(unlike)}")
    for name in first:
        if first[name].shape != second[name].shape:
            shapes = f"{tuple(first[name].shape)} and {tuple(second[name].shape)}"
            raise UsageError(f"These networks cannot be interpolated: {name} has the shapes {shapes}")


class Line:
    """``W(a) = (1 - a) * first + a * second`` in the tensors of one working network.

    Weights and BatchNorm's statistics are interpolated alike; whole numbers are the first network's. At 0 and 1 it
    is the first and the second network bit for bit (``torch.lerp``; ``0.3 * W + 0.7 * W`` would not be W).
    """

    def __init__(self, model: nn.Module, first: Tensors, second: Tensors) -> None:
        check_alike(first, second)
        self.model = model
        self.places = {name: tensor.detach() for name, tensor in model.state_dict().items()}
        check_alike(self.places, first)
        self.first, self.second = self._like_model(first), self._like_model(second)

    def _like_model(self, tensors: Tensors) -> dict[str, Tensor]:
        """Return copies on the model's device in its memory format: interpolating is then a plain pass over memory."""
        return {name: torch.empty_like(place).copy_(tensors[name]) for name, place in self.places.items()}

    @torch.no_grad()
    def go_to(self, alpha: float) -> nn.Module:
        """Return the working network, become ``W(alpha)``."""
        for name, place in self.places.items():
            if place.is_floating_point():
                torch.lerp(self.first[name], self.second[name], alpha, out=place)
            else:
                place.copy_(self.first[name])
        return self.model


class Prepared:
    """Images of a split in batches, to be gone over again and again, as ``TrainingData.evaluation_batches`` gives them.

    They are prepared once, if they take no more than ``HELD`` bytes; more, as those of ImageNet, are prepared anew each
    time, so that memory has but a few batches at once.
    """

    def __init__(self, data: TrainingData, split: str, limit: int | None = None, **batches: int) -> None:
        self.prepare = partial(data.evaluation_batches, split, limit=limit, **batches)
        self.size = min(data.sizes[split], data.sizes[split] if limit is None else limit)
        shape = data.shape
        few = self.size * shape.channels * shape.height * shape.width * torch.float32.itemsize <= HELD
        self.held = list(self.prepare()) if few else None

    def __iter__(self) -> Iterator[Pair]:
        return self.prepare() if self.held is None else iter(self.held)


class Meter:
    """Measure networks on the test set, on training images and on the validation set, where there is one."""

    def __init__(self, data: TrainingData, hparams: TrainingHparams, examples: Examples) -> None:
        self.hparams, self.device = hparams, data.device
        self.batches = {"test": Prepared(data, "test"), "train": Prepared(data, "train", examples.train)}
        if VALIDATION in data.sizes:
            self.batches[VALIDATION] = Prepared(data, VALIDATION)
        self.examples = {split: batches.size for split, batches in self.batches.items()}
        self.recalculation = Prepared(data, "train", examples.batchnorm, batch_size=RECALCULATION_BATCH)
        self.recalculated_from = self.recalculation.size

    def measure(self, model: nn.Module, split: str) -> dict[str, float]:
        """Return ``loss`` and ``accuracy`` on a split."""
        with arithmetic(self.hparams, self.device):
            return evaluate(model, iter(self.batches[split]))

    def recalculate(self, model: nn.Module) -> None:
        with arithmetic(self.hparams, self.device):
            recalculate(model, self.recalculation)


def walk(
    line: Line,
    meter: Meter,
    children: tuple[int, int],
    alphas: Sequence[float],
    known: Iterable[LinePoint] = (),
    keep: Callable[[list[LinePoint]], None] = lambda rows: None,
    advance: Callable[[int], None] = lambda points: None,
    treatments: tuple[str, str] = BATCHNORM,
    repair: Callable[[float], nn.Module] | None = None,
) -> list[LinePoint]:
    """Measure error and loss at every alpha, both treatments, all splits; what is ``known`` is not computed again.

    Args:
        line: the line between the children.
        meter: measures the networks on it.
        children: their numbers.
        alphas: where to measure.
        known: rows from before; those that do not fit are left alone.
        keep: called with the new rows of each alpha, for writing them down.
        advance: called with 1 after each alpha.
        treatments: what the rows call the network as it is, and with statistics of its own.
        repair: for networks without BatchNorm: the network at an alpha with statistics of its own, see
            ``stability.repair``. Without it the treatments are one.

    Returns:
        The rows wanted, old and new.
    """
    there = {row.key: row for row in known}
    wanted: list[LinePoint] = []
    raw, recalculated = treatments
    normalized = bool(batchnorms(line.model))
    for alpha in alphas:
        asked = [
            LinePoint(*children, alpha, split, treatment, meter.examples[split],
                meter.recalculated_from if treatment == recalculated else 0)
            for treatment in treatments for split in meter.examples
        ]  # fmt: skip
        missing = [row for row in asked if row.key not in there]
        if missing:
            model = line.go_to(alpha)
            new: dict[str, dict[str, dict[str, float]]] = {}
            for treatment in treatments:
                splits = [row.split for row in missing if row.batchnorm == treatment]
                if treatment == recalculated and splits:
                    if normalized:
                        meter.recalculate(model)
                    elif repair is not None:
                        model = repair(alpha)
                same = {} if normalized or repair else new.get(raw, {})
                new[treatment] = {split: same.get(split) or meter.measure(model, split) for split in splits}
            measured = [row.with_result(**new[row.batchnorm][row.split]) for row in missing]
            there |= {row.key: row for row in measured}
            keep(measured)
        wanted += [there[row.key] for row in asked]
        advance(1)
    return wanted
