"""A data set that is read from image files while a network trains."""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from foundations.errors import UsageError
from foundations.processes import Share
from foundations.seeds import Seeds
from training.data.batches import WHOLE, Batch, EpochNoise, Pair, TrainingData
from training.data.dataset import ImageFiles
from training.data.decoding import Decoder, augmentation, decoded, middle
from training.data.hparams import DataHparams
from training.data.transformations import draw_stratified

EVALUATED_AT_ONCE = 250
KEPT = 10
"""Batches that can be had again: a training that stops for a checkpoint may have asked for so many too many."""
AVERAGED = 5000
"""Training images of which the mean image is the average: their mean is within 0.004 of that of all."""


class StreamedData(TrainingData):
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
        super().__init__(files, hparams, device, index_device=torch.device("cpu"))
        for flag in ("flips", "crop_border"):
            if (value := getattr(hparams, flag)) != getattr(DataHparams, flag):
                raise UsageError(f"--{flag}={value}: images that are streamed are cropped and mirrored at random")
        self.files, self.workers = files, workers
        self._ahead: Ahead | None = None

    def batches(self, epoch: EpochNoise, first: int, last: int, share: Share = WHOLE) -> Iterator[Batch]:
        """Return images and labels of training batches; workers decode on to the epoch's end.

        Where the last call has stopped in the same epoch, what they have decoded since is used.
        """
        key = (epoch.order.initial_seed(), epoch.augmentation.initial_seed(), share)
        if self._ahead is None or self._ahead.key != key or not self._ahead.has(first):
            self._ahead = Ahead(key, first, self.iterations_per_epoch, self._epoch(epoch, first, share))
        ahead = self._ahead
        return (ahead.batch(number) for number in range(first, last))

    def _epoch(self, epoch: EpochNoise, first: int, share: Share) -> Iterator[Batch]:
        """Return a process's share of the batches of an epoch from ``first`` on."""
        train = self.files.train
        order = torch.randperm(len(train), generator=epoch.order)
        seeds = torch.randint(2**62, (len(train),), generator=epoch.augmentation)  # by image, not by place
        parts = [batch[share.part(len(batch))] for batch in order.split(self.batch_size)[first:]]
        if self.hparams.do_not_augment:
            decoder = Decoder(self.files.paths, train.images, middle(self.files))
        else:
            decoder = Decoder(self.files.paths, train.images, augmentation(self.files), seeds)
        labels = (train.labels[part].to(self.device, non_blocking=True) for part in parts)
        return zip(self._decoded(decoder, parts), labels, strict=True)

    def fetch(self, batch: Batch) -> Pair:
        images, labels = batch
        return self.normalize(images), labels

    def evaluation_batches(
        self, split: str, batch_size: int = EVALUATED_AT_ONCE, limit: int | None = None
    ) -> Iterator[Pair]:
        return super().evaluation_batches(split, batch_size, limit)

    def stored(self, split: str, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        decoder = Decoder(self.files.paths, self.files.splits[split].images, middle(self.files))
        return self._decoded(decoder, parts)

    def _decoded(self, decoder: Decoder, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        batches = [part.tolist() for part in parts]
        for images in decoded(decoder, batches, self.workers, pinned=self.device.type == "cuda"):
            yield images.to(self.device, non_blocking=True)

    @cached_property
    def mean_image(self) -> Tensor:
        """The average of ``AVERAGED`` training images, of each class in proportion: (C, H, W) in [0, 1]."""
        labels = self.labels["train"]
        chosen = torch.arange(len(labels))
        if len(labels) > AVERAGED:
            chosen = draw_stratified(labels, AVERAGED, Seeds(0).generator("mean image"))
        parts = self.stored("train", chosen.split(EVALUATED_AT_ONCE))
        total = torch.stack([images.cpu().sum(0, dtype=torch.int64) for images in parts]).sum(0).double()
        return (total / (255 * len(chosen))).float().permute(2, 0, 1).contiguous().to(self.device)


class Ahead:
    """An epoch's batches number ``first`` to ``end - 1``, in their order; the last few can be had again.

    ``key`` tells the epoch from others.
    """

    def __init__(self, key: object, first: int, end: int, batches: Iterator[Batch]) -> None:
        self.key, self.next, self.end, self.batches = key, first, end, batches
        self.kept: deque[tuple[int, Batch]] = deque(maxlen=KEPT)

    def has(self, number: int) -> bool:
        """Return whether batch ``number`` is the next one, or was one of the last."""
        return number == self.next or number in dict(self.kept)

    def batch(self, number: int) -> Batch:
        """Return batch ``number``, which :meth:`has` has."""
        if number != self.next:
            return dict(self.kept)[number]
        self.kept.append((number, next(self.batches)))
        self.next += 1
        if self.next == self.end:
            next(self.batches, None)  # there is none: the workers end
        return self.kept[-1][1]
