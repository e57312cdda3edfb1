"""What training, pruning and analysis ask of data, wherever the images are kept."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from foundations.errors import UsageError
from foundations.processes import Share
from foundations.seeds import Seeds
from pruning import Batches
from training.data.dataset import Dataset, ImageFiles
from training.data.hparams import DataHparams
from training.data.transformations import draw_balanced, draw_stratified

Batch = tuple[Tensor, ...]
"""What a training batch is fetched from: tensors on the device, each with one entry for each of its images."""
Pair = tuple[Tensor, Tensor]
"""Images of a batch, float32 (B, C, H, W) and normalized, and their labels, int64 (B,), both on the device."""
WHOLE = Share()


class EpochNoise(NamedTuple):
    """An epoch of SGD noise: the generators of the order of the images and of their augmentation; and for flips that
    alternate the number of the epoch and the generator of those of epoch 0."""

    order: torch.Generator
    augmentation: torch.Generator
    epoch: int = 0
    first_flips: torch.Generator | None = None


class TrainingData(ABC):
    """A training set, a test set and perhaps a validation set as batches on a device.

    Images of a batch are float32 (B, C, H, W) in channels-last memory order, normalized as ``hparams`` say.

    Args:
        source: the data set, already transformed (see ``load``), on the CPU.
        hparams: batch size and whether to augment.
        device: where the batches are wanted.
        index_device: where indices of images are wanted.

    Attributes:
        shape: size of the images and number of classes, for which a model is built.
        batch_size: images of a training step; the last batch of an epoch may be smaller.
        iterations_per_epoch: ceil(training images / batch size): no image is left out.
        sizes: the number of images of each split, "train", "test" and, where there is one, "validation".
        labels: the labels of each split, (N,) int64 on the CPU, in the data set's order.
        fingerprint: the sha256 of the data before any transformation, in hex.
        class_names: by label.
        normalization: ``mean`` and ``std`` of each channel, of pixels in [0, 1].
    """

    def __init__(
        self, source: Dataset | ImageFiles, hparams: DataHparams, device: torch.device, index_device: torch.device
    ) -> None:
        self.source, self.hparams, self.device, self.index_device = source, hparams, device, index_device
        self.shape, self.fingerprint, self.class_names = source.shape, source.fingerprint, source.class_names
        self.labels = {name: split.labels for name, split in source.splits.items()}
        self.sizes = {name: len(labels) for name, labels in self.labels.items()}
        self.batch_size = hparams.batch_size
        self.iterations_per_epoch = -(-self.sizes["train"] // self.batch_size)
        mean, std = source.normalization(hparams.normalization)
        self.normalization = {"mean": mean, "std": std}
        self.device_labels = {name: labels.to(device) for name, labels in self.labels.items()}
        # By channel, repeated along a row of pixels: arithmetic by threes is ten times slower.
        self.offset = (source.unit * torch.tensor(mean)).repeat(self.shape.width).to(device)
        self.scale = (1 / (source.unit * torch.tensor(std))).repeat(self.shape.width).to(device)

    @abstractmethod
    def batches(self, epoch: EpochNoise, first: int, last: int, share: Share = WHOLE) -> Iterator[Batch]:
        """Return training batches ``first`` to ``last - 1`` of an epoch, for :meth:`fetch`.

        They are the same whatever ``first`` is: an epoch may be trained in pieces. Nothing waits for the device. Of
        each batch there is only the ``share`` of a process; all shares together are the batch.
        """

    @abstractmethod
    def fetch(self, batch: Batch) -> Pair:
        """Return the augmented images of a training batch, and their labels.

        This is part of a training step, and captured with it: the same operations for all batches of one size.
        """

    @abstractmethod
    def stored(self, split: str, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """Return images of a split by their indices, not augmented, (B, H, W, C) as stored, on the device."""

    @cached_property
    @abstractmethod
    def mean_image(self) -> Tensor:
        """The average training image, (C, H, W) in [0, 1]."""

    def evaluation_batches(self, split: str, batch_size: int = 1000, limit: int | None = None) -> Iterator[Pair]:
        """Return the images of a split as they are, in the data set's order.

        ``limit`` takes so many of them only: always the same ones, of each class in proportion.
        """
        if split not in self.sizes:
            raise ValueError(f"no split {split!r}; valid: {', '.join(self.sizes)}")
        if limit is None or limit >= self.sizes[split]:
            chosen = torch.arange(self.sizes[split], device=self.index_device)
        else:
            generator = Seeds(0).generator("evaluation subset")
            chosen = draw_stratified(self.labels[split], limit, generator).to(self.index_device)
        parts = chosen.split(batch_size)
        for images, part in zip(self.stored(split, parts), parts, strict=True):
            yield self.normalize(images), self.device_labels[split][part.to(self.device)]

    def pruning_batches(self, num: int, batch_size: int, generator: torch.Generator, balanced: bool = True) -> Batches:
        """Return ``num`` batches of distinct training images, not augmented, drawn from ``generator``.

        By default there are equally many images of each class, as far as that goes. Where the training set is smaller
        than a batch, the batch is the training set.

        Raises:
            UsageError: an epoch has fewer than ``num`` batches.
        """
        size = self.sizes["train"]
        if num > (available := -(-size // batch_size)):
            raise UsageError(
                f"--pruning_batches={num}: {size} training images make {available} batches of {batch_size}"
            )
        count = min(num * batch_size, size)
        if balanced:
            chosen = draw_balanced(self.labels["train"], count, generator)
        else:
            chosen = torch.randperm(size, generator=generator)[:count]
        parts = chosen.to(self.index_device).split(batch_size)
        stored = list(self.stored("train", parts))
        labels = self.device_labels["train"]
        return Batches(
            pairs=[(self.normalize(images), labels[part.to(self.device)])
                   for images, part in zip(stored, parts, strict=True)],
            pixels=[self.pixels(images) for images in stored],
            mean_image=lambda: self.mean_image,
        )  # fmt: skip

    def normalize(self, images: Tensor) -> Tensor:
        """Turn (B, H, W, C) as stored into (B, C, H, W) float32, channels last, in memory of its own.

        Subtraction and multiplication are two steps, so that no machine fuses them: same bits everywhere.
        """
        rows = images.flatten(2).to(torch.float32, copy=True).sub_(self.offset).mul_(self.scale)
        return rows.view(images.shape).permute(0, 3, 1, 2)

    def pixels(self, images: Tensor) -> Tensor:
        """Turn (B, H, W, C) as stored into (B, C, H, W) float32 in [0, 1], not normalized: ``low`` to ``high``."""
        low, high = self.source.low, self.source.high
        return (images.permute(0, 3, 1, 2).float() - low) / (high - low)
