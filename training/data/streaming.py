"""A data set that is read from image files while a network trains."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from foundations.errors import UsageError
from foundations.processes import Share
from foundations.seeds import Seeds
from models.registry import ImageShape
from pruning import Batches
from training.data.decoding import Decoder, augmentation, decoded, middle
from training.data.hparams import DataHparams
from training.data.image_files import IMAGENET_MEAN, IMAGENET_STD, ImageFiles
from training.data.protocol import WHOLE, Batch, EpochNoise, Pair
from training.data.transformations import draw_balanced, draw_stratified

NORMALIZATIONS: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {
    "standardize": (IMAGENET_MEAN, IMAGENET_STD),
    "unit": ((0.0,) * 3, (1.0,) * 3),
    "none": ((0.0,) * 3, (1 / 255,) * 3),
}
"""Mean and standard deviation of each channel, of pixels in [0, 1]."""
EVALUATED_AT_ONCE = 250
KEPT = 10
"""Batches that can be had again: a training that stops for a checkpoint may have asked for so many too many."""
AVERAGED = 5000
"""Training images of which the mean image is the average: their mean is within 0.004 of that of all."""


class StreamedData:
    """``TrainingData`` whose images are decoded by worker processes, batch by batch.

    Training images are random parts, mirrored at random (``decoding.augmentation``), evaluated ones the middle. The
    order of an epoch comes from its generator, and so does a seed for each image: neither the number of workers nor
    where an epoch is gone on with changes a bit.

    Args:
        files: the data set, already transformed (see ``load``).
        hparams: batch size and whether to augment.
        device: where the batches are wanted.
        workers: processes that decode; 0 for none but this one.
    """

    def __init__(self, files: ImageFiles, hparams: DataHparams, device: torch.device, workers: int) -> None:
        self.files, self.hparams, self.device, self.workers = files, hparams, device, workers
        self.batch_size = hparams.batch_size
        # By channel, repeated along a row of pixels: arithmetic by threes is ten times slower.
        mean, std = NORMALIZATIONS[hparams.normalization]
        self.normalization: Mapping[str, Sequence[float]] = {"mean": mean, "std": std}
        self.offset = (255 * torch.tensor(mean)).repeat(files.size).to(device)
        self.scale = (1 / (255 * torch.tensor(std))).repeat(files.size).to(device)
        self._ahead: Ahead | None = None

    @property
    def shape(self) -> ImageShape:
        """What a model is told."""
        return self.files.shape

    @property
    def sizes(self) -> Mapping[str, int]:
        """The number of images of each split."""
        return {name: len(split) for name, split in self.files.splits.items()}

    @property
    def labels(self) -> Mapping[str, Tensor]:
        """The labels of each split, (N,) int64 on the CPU."""
        return {name: split.labels for name, split in self.files.splits.items()}

    @property
    def fingerprint(self) -> str:
        """That of the files."""
        return self.files.fingerprint

    @property
    def class_names(self) -> Sequence[str]:
        """By label."""
        return self.files.class_names

    @property
    def iterations_per_epoch(self) -> int:
        """ceil(N / batch size): the last batch of an epoch may be smaller, none is dropped."""
        return -(-len(self.files.train) // self.batch_size)

    @cached_property
    def mean_image(self) -> Tensor:
        """The average of ``AVERAGED`` training images, of each class in proportion: (C, H, W) in [0, 1]."""
        labels = self.files.train.labels
        chosen = torch.arange(len(labels))
        if len(labels) > AVERAGED:
            chosen = draw_stratified(labels, AVERAGED, Seeds(0).generator("mean image"))
        total = sum(images.sum(0, dtype=torch.int64) for images in self._read("train", chosen.split(EVALUATED_AT_ONCE)))
        assert isinstance(total, Tensor), "there are training images"
        return (total.double() / (255 * len(chosen))).float().permute(2, 0, 1).contiguous().to(self.device)

    def batches(self, epoch: EpochNoise, first: int, last: int, share: Share = WHOLE) -> Iterator[Batch]:
        """Images and labels of training batches ``first`` to ``last - 1``; workers decode on to the epoch's end.

        Where the last call has stopped in the same epoch, what they have decoded since is used.
        """
        key = (epoch.order.initial_seed(), epoch.augmentation.initial_seed(), share)
        if self._ahead is None or self._ahead.key != key or not self._ahead.has(first):
            self._ahead = Ahead(key, first, self.iterations_per_epoch, self._epoch(epoch, first, share))
        ahead = self._ahead
        return (ahead.batch(number) for number in range(first, last))

    def _epoch(self, epoch: EpochNoise, first: int, share: Share) -> Iterator[Batch]:
        """A process's share of the batches of an epoch from ``first`` on."""
        train = self.files.train
        order = torch.randperm(len(train), generator=epoch.order)
        seeds = torch.randint(2**62, (len(train),), generator=epoch.augmentation)  # by image, not by place
        parts = [batch[share.part(len(batch))] for batch in order.split(self.batch_size)[first:]]
        if self.hparams.do_not_augment:
            decoder = Decoder(self.files.paths, train.images, middle(self.files))
        else:
            decoder = Decoder(self.files.paths, train.images, augmentation(self.files), seeds)
        images, device = self._decoded(decoder, parts), self.device
        return (
            (there(some, device), there(train.labels[part], device)) for some, part in zip(images, parts, strict=True)
        )

    def fetch(self, batch: Batch) -> Pair:
        """The images, normalized, and the labels of a batch."""
        images, labels = batch
        return self.normalize(images), labels

    def evaluation_batches(
        self, split: str, batch_size: int = EVALUATED_AT_ONCE, limit: int | None = None
    ) -> Iterator[Pair]:
        """The middles of the images of a split, in the data set's order.

        ``limit`` takes so many of them only: always the same ones, of each class in proportion.
        """
        labels = self.labels[split]
        chosen = torch.arange(len(labels))
        if limit is not None and limit < len(labels):
            chosen = draw_stratified(labels, limit, Seeds(0).generator("evaluation subset"))
        parts = chosen.split(batch_size)
        for images, part in zip(self._read(split, parts), parts, strict=True):
            yield self.normalize(there(images, self.device)), there(labels[part], self.device)

    def pruning_batches(self, num: int, batch_size: int, generator: torch.Generator, balanced: bool = True) -> Batches:
        """``num`` batches of the middles of distinct training images, drawn from ``generator``.

        By default there are equally many images of each class, as far as that goes.

        Raises:
            UsageError: an epoch has fewer than ``num`` batches.
        """
        train = self.files.train
        available = -(-len(train) // batch_size)
        if num > available:
            raise UsageError(
                f"--pruning_batches={num}: {len(train)} training images make {available} batches of {batch_size}"
            )
        count = min(num * batch_size, len(train))
        if balanced:
            chosen = draw_balanced(train.labels, count, generator)
        else:
            chosen = torch.randperm(len(train), generator=generator)[:count]
        parts = chosen.split(batch_size)
        raw = [there(images, self.device) for images in self._read("train", parts)]
        return Batches(
            pairs=[
                (self.normalize(images), there(train.labels[part], self.device))
                for images, part in zip(raw, parts, strict=True)
            ],
            pixels=[images.permute(0, 3, 1, 2).float() / 255 for images in raw],
            mean_image=lambda: self.mean_image,
        )

    def normalize(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) bytes -> (B, 3, H, W) float32, channels last, normalized."""
        rows = images.flatten(2).float().sub_(self.offset).mul_(self.scale)
        return rows.view(images.shape).permute(0, 3, 1, 2)

    def _read(self, split: str, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        """The middles of images of a split, by their places in it, (B, H, W, 3), uint8, on the CPU."""
        decoder = Decoder(self.files.paths, self.files.splits[split].images, middle(self.files))
        return self._decoded(decoder, parts)

    def _decoded(self, decoder: Decoder, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        batches = [part.tolist() for part in parts]
        return decoded(decoder, batches, self.workers, pinned=self.device.type == "cuda")


def there(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device; from pinned memory nothing waits for it."""
    return tensor.to(device, non_blocking=True)


class Ahead:
    """An epoch's batches from one on, in their order; the last few can be had again.

    Args:
        key: what tells the epoch from others.
        first: the number of the first one.
        end: the number after that of the last one.
        batches: they.
    """

    def __init__(self, key: object, first: int, end: int, batches: Iterator[Batch]) -> None:
        self.key, self.next, self.end, self.batches = key, first, end, batches
        self.kept: deque[tuple[int, Batch]] = deque(maxlen=KEPT)

    def has(self, number: int) -> bool:
        """Whether batch ``number`` is the next one, or was one of the last."""
        return number == self.next or any(number == other for other, _ in self.kept)

    def batch(self, number: int) -> Batch:
        """Batch ``number``, which :meth:`has` has."""
        for other, batch in self.kept:
            if other == number:
                return batch
        assert number == self.next, "an epoch's batches come one after the other"
        self.kept.append((number, next(self.batches)))
        self.next += 1
        if self.next == self.end:
            next(self.batches, None)  # there is none: the workers end
        return self.kept[-1][1]
