"""A data set that lives on the device, images as bytes, and is augmented there, batch by batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foundations.errors import UsageError
from foundations.processes import Share
from foundations.seeds import Seeds
from models.registry import ImageShape
from pruning import Batches
from training.data.dataset import Dataset
from training.data.hparams import DataHparams
from training.data.protocol import WHOLE, Batch, EpochNoise, Pair
from training.data.transformations import draw_balanced, draw_stratified


class DeviceData:
    """``TrainingData`` whose images all live on ``device``, as bytes, or whose features do.

    Images of a batch are float32 (B, C, H, W) in channels-last memory order, normalized as ``hparams`` say. Labels
    are int64 (B,).

    Args:
        dataset: the decoded data set, already transformed (see ``load``), on the CPU.
        hparams: batch size and whether to augment.
        device: where the batches are wanted.
    """

    def __init__(self, dataset: Dataset, hparams: DataHparams, device: torch.device) -> None:
        self.dataset = dataset
        self.hparams = hparams
        self.device = device
        self.batch_size = hparams.batch_size
        self.padding = 0 if hparams.do_not_augment else dataset.crop_padding
        self.flip = dataset.flip and not hparams.do_not_augment
        # Padding is black: it comes before normalization.
        padded = F.pad(dataset.train.images, (0, 0, *[self.padding] * 4))
        self.padded_size = padded.shape[1], padded.shape[2]
        self.train_pixels = padded.to(device).view(-1, dataset.channels)
        self.train_labels = dataset.train.labels.to(device)
        # Splits that are only evaluated; the training set lies padded.
        self.evaluated = {
            name: (split.images.to(device), split.labels.to(device))
            for name, split in dataset.splits.items()
            if name != "train"
        }
        self.rows = torch.arange(dataset.height, device=device)
        self.columns = torch.arange(dataset.width, device=device)
        # By channel, repeated along a row of pixels: arithmetic by threes is ten times slower.
        unit = 255 if dataset.train.images.dtype == torch.uint8 else 1
        mean, std = dataset.normalization(hparams.normalization)
        self.normalization: Mapping[str, Sequence[float]] = {"mean": mean, "std": std}
        self.offset = (unit * torch.tensor(mean)).repeat(dataset.width).to(device)
        self.scale = (1 / (unit * torch.tensor(std))).repeat(dataset.width).to(device)

    @property
    def shape(self) -> ImageShape:
        """What a model is built for: size of the images and number of classes."""
        return self.dataset.shape

    @property
    def sizes(self) -> Mapping[str, int]:
        """The number of images of each split."""
        return {name: len(split) for name, split in self.dataset.splits.items()}

    @property
    def labels(self) -> Mapping[str, Tensor]:
        """The labels of each split, (N,) int64 on the CPU."""
        return {name: split.labels for name, split in self.dataset.splits.items()}

    @property
    def fingerprint(self) -> str:
        """The sha256 of the decoded data set, before any transformation."""
        return self.dataset.fingerprint

    @property
    def class_names(self) -> Sequence[str]:
        """By label."""
        return self.dataset.class_names

    @property
    def iterations_per_epoch(self) -> int:
        """ceil(N / batch size): the last batch of an epoch may be smaller, none is dropped."""
        return -(-len(self.dataset.train) // self.batch_size)

    @cached_property
    def mean_image(self) -> Tensor:
        """The average training image, (C, H, W) in [0, 1]; bytes are summed in whole numbers."""
        images = self.dataset.train.images
        whole = images.dtype == torch.uint8
        total = torch.from_numpy(images.numpy().sum(0, dtype=np.int64 if whole else np.float64)).double()
        low, high = self.dataset.low, self.dataset.high
        mean = (total - low * len(images)) / ((high - low) * len(images))
        return mean.float().permute(2, 0, 1).contiguous().to(self.device)

    def batches(self, epoch: EpochNoise, first: int, last: int, share: Share = WHOLE) -> Iterator[Batch]:
        """The choices for training batches ``first`` to ``last - 1`` of an epoch. Nothing waits for the device."""
        plan = self.epoch(*epoch)
        return ((plan.part(number, share),) for number in range(first, last))

    def fetch(self, batch: Batch) -> Pair:
        """The images of a batch, cropped and mirrored as was chosen, and their labels. Nothing waits for the device.

        Crop and flip are folded into the places that are fetched, so that every pixel is touched once.
        """
        [choices] = batch
        index, top, left, flip = choices.unbind(1)
        rows = top[:, None] + self.rows
        across = torch.where(flip[:, None].bool(), self.columns.flip(0), self.columns)
        columns = left[:, None] + across
        height, width = self.padded_size
        places = ((index[:, None] * height + rows) * width)[:, :, None] + columns[:, None, :]
        images = self.train_pixels.index_select(0, places.flatten())
        shape = (len(index), len(self.rows), len(self.columns), -1)
        return self.normalize(images.view(shape)), self.train_labels.index_select(0, index)

    def epoch(self, order_generator: torch.Generator, augment_generator: torch.Generator) -> "EpochPlan":
        """Draws an epoch's order, crops and flips on the CPU, and brings them to the device at once."""
        size = len(self.dataset.train)
        order = torch.randperm(size, generator=order_generator)
        corners = torch.randint(2 * self.padding + 1, (2, size), generator=augment_generator)
        flips = torch.randint(2 if self.flip else 1, (size,), generator=augment_generator)
        return EpochPlan(self, torch.stack([order, *corners, flips], 1).to(self.device))

    def evaluation_batches(self, split: str, batch_size: int = 1000, limit: int | None = None) -> Iterator[Pair]:
        """The images of ``split`` ("train", "test", "validation") as they are, in the data set's order.

        ``limit`` takes so many of them only: always the same ones, of each class in proportion.
        """
        images, labels = self._split(split)
        chosen = None
        if limit is not None and limit < len(labels):
            generator = Seeds(0).generator("evaluation subset")
            chosen = draw_stratified(self.labels[split], limit, generator).to(self.device)
        for start in range(0, len(labels) if chosen is None else len(chosen), batch_size):
            where = slice(start, start + batch_size) if chosen is None else chosen[start : start + batch_size]
            yield self.normalize(images[where]), labels[where]

    def pruning_batches(self, num: int, batch_size: int, generator: torch.Generator, balanced: bool = True) -> Batches:
        """``num`` batches of distinct training images, not augmented, drawn from ``generator``.

        By default there are equally many images of each class, as far as that goes. Where the training set is
        smaller than a batch, the batch is the training set.

        Raises:
            UsageError: an epoch has fewer than ``num`` batches.
        """
        size = len(self.dataset.train)
        available = -(-size // batch_size)
        if num > available:
            raise UsageError(
                f"--pruning_batches={num}: {size} training images make {available} batches of {batch_size}"
            )
        count = min(num * batch_size, size)
        if balanced:
            indices = draw_balanced(self.dataset.train.labels, count, generator)
        else:
            indices = torch.randperm(size, generator=generator)[:count]
        images, labels = self._split("train")
        chosen = indices.to(self.device).split(batch_size)
        raw = [images[batch] for batch in chosen]
        return Batches(
            pairs=[(self.normalize(image), labels[batch]) for image, batch in zip(raw, chosen, strict=True)],
            pixels=[self.pixels(image) for image in raw],
            mean_image=lambda: self.mean_image,
        )

    def normalize(self, images: Tensor) -> Tensor:
        """(B, H, W, C) as stored -> (B, C, H, W) float32, channels last, in memory of its own.

        Subtraction and multiplication are two steps, so that no machine fuses them: same bits everywhere.
        """
        rows = images.flatten(2).to(torch.float32, copy=True).sub_(self.offset).mul_(self.scale)
        return rows.view(images.shape).permute(0, 3, 1, 2)

    def pixels(self, images: Tensor) -> Tensor:
        """(B, H, W, C) as stored -> (B, C, H, W) float32 in [0, 1], not normalized: from ``low`` to ``high``."""
        low, high = self.dataset.low, self.dataset.high
        return (images.permute(0, 3, 1, 2).float() - low) / (high - low)

    def _split(self, split: str) -> Pair:
        """Images (N, H, W, C), as stored, without padding, and labels, on the device."""
        if split in self.evaluated:
            return self.evaluated[split]
        if split != "train":
            raise ValueError(f"no split {split!r}; valid: {', '.join(self.sizes)}")
        padded = self.train_pixels.view(-1, *self.padded_size, self.dataset.channels)
        _, height, width = padded.shape[:3]
        edge = self.padding
        return padded[:, edge : height - edge, edge : width - edge], self.train_labels


@dataclass(frozen=True, eq=False)
class EpochPlan:
    """An epoch's random choices, on the device.

    Args:
        data: where the images are.
        choices: (N, 4) int64, at each place of the epoch's order an image, the first row and the first column of its
            crop in the padded image, and whether the crop is mirrored, 0 or 1.
    """

    data: DeviceData
    choices: Tensor

    def __len__(self) -> int:
        return self.data.iterations_per_epoch

    def part(self, number: int, share: Share = WHOLE) -> Tensor:
        """The choices for batch ``number``, or for a process's share of it."""
        batch = self.choices[number * self.data.batch_size : (number + 1) * self.data.batch_size]
        return batch[share.part(len(batch))]

    def batch(self, number: int) -> Pair:
        """Batch ``number`` of the epoch: (inputs, labels)."""
        return self.data.fetch((self.part(number),))
