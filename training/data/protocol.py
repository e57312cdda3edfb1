"""What training, pruning and analysis ask of data, wherever it is kept."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from foundations.processes import Share
from models.registry import ImageShape
from pruning import Batches
from training.data.hparams import DataHparams

Batch = tuple[Tensor, ...]
"""What a training batch is fetched from: tensors on the device, each with one entry for each of its images."""
Pair = tuple[Tensor, Tensor]
"""Images of a batch, float32 (B, C, H, W) and normalized, and their labels, int64 (B,), both on the device."""


WHOLE = Share()


class EpochNoise(NamedTuple):
    """The generators from which an epoch of SGD noise is drawn."""

    order: torch.Generator
    augmentation: torch.Generator


class TrainingData(Protocol):
    """A training set, a test set and perhaps a validation set as batches on a device.

    The splits are called ``"train"``, ``"test"`` and ``"validation"``; ``sizes`` and ``labels`` have those that exist.
    """

    @property
    def hparams(self) -> DataHparams:
        """What they were made from."""

    @property
    def device(self) -> torch.device:
        """Where the batches are."""

    @property
    def shape(self) -> ImageShape:
        """What a model has to know of them."""

    @property
    def batch_size(self) -> int:
        """Images in a training step; the last batch of an epoch may be smaller."""

    @property
    def iterations_per_epoch(self) -> int:
        """ceil(training images / batch size): no image is left out."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """The number of images of each split."""

    @property
    def labels(self) -> Mapping[str, Tensor]:
        """The labels of each split, (N,) int64 on the CPU, in the data set's order."""

    @property
    def fingerprint(self) -> str:
        """The sha256 of the data before any transformation, in hex."""

    @property
    def class_names(self) -> Sequence[str]:
        """By label."""

    @property
    def normalization(self) -> Mapping[str, Sequence[float]]:
        """``mean`` and ``std`` of each channel: inputs are (pixel - mean) / std, of pixels in [0, 1]."""

    def batches(self, epoch: EpochNoise, first: int, last: int, share: Share = WHOLE) -> Iterator[Batch]:
        """Training batches ``first`` to ``last - 1`` of an epoch, for :meth:`fetch`.

        They are the same whatever ``first`` is: an epoch may be trained in pieces. Nothing waits for the device. Of
        each batch there is only the ``share`` of a process; all shares together are the batch.
        """

    def fetch(self, batch: Batch) -> Pair:
        """The augmented images of a training batch, and their labels.

        This is part of a training step, and captured with it: the same operations for all batches of one size. Where
        the images themselves are brought to the device batch by batch, ``batch`` is what is returned.
        """

    def evaluation_batches(self, split: str, batch_size: int = 1000, limit: int | None = None) -> Iterator[Pair]:
        """The images of a split as they are, in the data set's order.

        ``limit`` takes so many of them only: always the same ones, of each class in proportion.
        """

    def pruning_batches(self, num: int, batch_size: int, generator: torch.Generator, balanced: bool = True) -> Batches:
        """``num`` batches of distinct training images, not augmented, drawn from ``generator``.

        Raises:
            UsageError: an epoch has fewer than ``num`` batches.
        """
