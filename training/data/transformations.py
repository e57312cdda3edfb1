"""Changes to the training set that hold for a whole run: a validation set, a part of the images, false labels."""

from dataclasses import replace

import torch
from torch import Tensor

from foundations.errors import UsageError
from foundations.seeds import Seeds
from training.data.dataset import Dataset, Split
from training.data.hparams import DataHparams


def draw_balanced(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return indices of ``count`` images, equally many of each class as far as the classes reach.

    Args:
        labels: (N,), int64.
        count: at most N.
        generator: on the CPU.

    Returns:
        (count,), in random order but so that every stretch of it is balanced too.
    """
    order, rank, _ = ranks(labels, generator)
    return order[torch.argsort(rank, stable=True)[:count]]


def draw_stratified(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return indices of ``count`` images, of each class in proportion (as Sainte-Laguë allots seats).

    Returns:
        (count,), ascending.
    """
    order, rank, size = ranks(labels, generator)
    return order[torch.argsort((rank + 0.5) / size, stable=True)[:count]].sort().values


def ranks(labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return a random order of the images; at each place, the image's number in its class, and its class's size."""
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    by_class = torch.argsort(shuffled, stable=True)
    sizes = torch.bincount(shuffled)
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(order)
    rank[by_class] = torch.arange(len(order)) - starts[shuffled[by_class]]
    return order, rank, sizes[shuffled]


def transform(dataset: Dataset, hparams: DataHparams) -> Dataset:
    """Return ``dataset`` without its validation set, then subsampled and with random labels, as ``hparams`` say.

    The random numbers depend on ``transformation_seed`` alone. The test set stays as it is, and so do the
    normalization and the fingerprint. A validation set is held out first: it is that of the whole training set, with
    the right labels.

    Raises:
        UsageError: the validation set leaves nothing of a class to train on.
    """
    seeds = Seeds(hparams.transformation_seed)
    train, validation = hold_out(dataset.train, hparams.validation_fraction, seeds.generator("validation"))
    left = torch.bincount(train.labels, minlength=dataset.classes)
    gone = (left == 0) & (torch.bincount(dataset.train.labels, minlength=dataset.classes) > 0)
    if gone.any():
        name = dataset.class_names[int(gone.nonzero()[0])]
        raise UsageError(
            f"--validation_fraction={hparams.validation_fraction}: it would hold out all images of class {name!r}"
        )
    train = subsample(train, hparams.subsample_fraction, seeds.generator("subsample"))
    train = randomize_labels(train, hparams.random_labels_fraction, dataset.classes, seeds.generator("random labels"))
    return replace(dataset, train=train, validation=validation)


def hold_out(split: Split, fraction: float, generator: torch.Generator) -> tuple[Split, Split | None]:
    """Return the rest, and round(fraction * N) images (at least one) of each class in proportion, in their old order.

    Raises:
        UsageError: there is no rest.
    """
    if fraction == 0:
        return split, None
    count = max(1, round(fraction * len(split)))
    if count == len(split):
        raise UsageError(f"--validation_fraction={fraction}: none of {len(split)} training images is left to train on")
    chosen = draw_stratified(split.labels, count, generator)
    rest = torch.ones(len(split), dtype=torch.bool)
    rest[chosen] = False
    return split.select(rest.nonzero().flatten()), split.select(chosen)


def subsample(split: Split, fraction: float, generator: torch.Generator) -> Split:
    """Return round(fraction * N) images (at least one), of each class in proportion, in their old order."""
    if fraction == 1:
        return split
    return split.select(draw_stratified(split.labels, max(1, round(fraction * len(split))), generator))


def randomize_labels(split: Split, fraction: float, classes: int, generator: torch.Generator) -> Split:
    """Replace round(fraction * N) labels by classes drawn uniformly: one in ``classes`` stays right."""
    count = round(fraction * len(split))
    chosen = torch.randperm(len(split), generator=generator)[:count]
    labels = split.labels.clone()
    labels[chosen] = torch.randint(classes, (count,), generator=generator)
    return Split(split.images, labels)
