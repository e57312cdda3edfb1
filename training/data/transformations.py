"""Changes to the training set that hold for a whole run: a part of the images, false labels."""

from dataclasses import replace

import torch

from foundations.seeds import Seeds
from training.data.dataset import Dataset, Split
from training.data.hparams import DataHparams
from training.data.sampling import draw_stratified


def transform(dataset: Dataset, hparams: DataHparams) -> Dataset:
    """``dataset`` with its training set subsampled, then given random labels, as ``hparams`` say.

    The random numbers depend on ``transformation_seed`` alone. The test set stays as it is, and so do the
    normalization and the fingerprint.
    """
    seeds = Seeds(hparams.transformation_seed)
    train = subsample(dataset.train, hparams.subsample_fraction, seeds.generator("subsample"))
    train = randomize_labels(train, hparams.random_labels_fraction, dataset.classes, seeds.generator("random labels"))
    return replace(dataset, train=train)


def subsample(split: Split, fraction: float, generator: torch.Generator) -> Split:
    """round(fraction * N) images (at least one), of each class in proportion, in their old order."""
    if fraction == 1:
        return split
    return split.select(draw_stratified(split.labels, max(1, round(fraction * len(split))), generator))


def randomize_labels(split: Split, fraction: float, classes: int, generator: torch.Generator) -> Split:
    """round(fraction * N) labels replaced by classes drawn uniformly: one in ``classes`` stays right."""
    count = round(fraction * len(split))
    chosen = torch.randperm(len(split), generator=generator)[:count]
    labels = split.labels.clone()
    labels[chosen] = torch.randint(classes, (count,), generator=generator)
    return Split(split.images, labels)
