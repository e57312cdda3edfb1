"""A data set that lives on the device, images as bytes, and is augmented there, batch by batch."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foundations.processes import Share
from training.data.batches import WHOLE, Batch, EpochNoise, Pair, TrainingData
from training.data.dataset import Dataset
from training.data.hparams import ALTERNATING, REFLECTED, DataHparams

AT_ONCE = 2**16
"""Most values of pixels that a CPU fetches for several batches together: as float32, a part of its second cache."""
CACHE_LINE = 16  # float32 values


class DeviceData(TrainingData):
    """``TrainingData`` whose images all live on ``device``, as bytes, or whose features do."""

    def __init__(self, dataset: Dataset, hparams: DataHparams, device: torch.device) -> None:
        super().__init__(dataset, hparams, device, index_device=device)
        self.dataset = dataset
        self.padding = 0 if hparams.do_not_augment else dataset.crop_padding
        self.flip = dataset.flip and not hparams.do_not_augment
        padded = bordered(dataset.train.images, self.padding, hparams.crop_border).to(device)
        self.padded_size = padded.shape[1], padded.shape[2]
        self.train_pixels = padded.view(-1, self.shape.channels)
        edge = self.padding
        self.images = {name: split.images.to(device) for name, split in dataset.splits.items() if name != "train"}
        self.images["train"] = padded[:, edge : edge + self.shape.height, edge : edge + self.shape.width]
        self.rows = torch.arange(self.shape.height, device=device)
        self.columns = torch.arange(self.shape.width, device=device)

    @cached_property
    def at_once(self) -> int:
        """How many batches are fetched together: several small ones on a CPU, one where each captured step fetches its
        own, or where a batch might not begin at a cache line, on which the rounding of matrix products may depend.
        """
        values = self.shape.channels * self.shape.height * self.shape.width
        if self.device.type != "cpu" or values % CACHE_LINE:
            return 1
        return max(1, AT_ONCE // (self.batch_size * values))

    def batches(self, epoch: EpochNoise, first: int, last: int, share: Share = WHOLE) -> Iterator[Batch]:
        every = self.epoch(epoch).split(self.batch_size)
        parts = [batch[share.part(len(batch))] for batch in every[first:last]]
        return self.fetched(parts) if self.at_once > 1 else ((part,) for part in parts)

    def fetched(self, parts: Sequence[Tensor]) -> Iterator[Batch]:
        """Fetch several small batches at once, which takes hardly longer than one; they are views of one tensor."""
        for start in range(0, len(parts), self.at_once):
            block = parts[start : start + self.at_once]
            sizes = [len(part) for part in block]
            images, labels = self.augmented(torch.cat(list(block)))
            yield from zip(images.split(sizes), labels.split(sizes), strict=True)

    def epoch(self, noise: EpochNoise) -> Tensor:
        """Draw an epoch's order, crops and flips on the CPU, and bring them to the device at once.

        Returns:
            (N, 4) int64, at each place of the epoch's order an image, the first row and the first column of its crop in
            the padded image, and whether the crop is mirrored, 0 or 1.
        """
        size = self.sizes["train"]
        order = torch.randperm(size, generator=noise.order)
        corners = torch.randint(2 * self.padding + 1, (2, size), generator=noise.augmentation)
        flips = torch.randint(2 if self.flip else 1, (size,), generator=noise.augmentation)
        if self.flip and self.hparams.flips == ALTERNATING:  # of each image, not of each place
            first = torch.randint(2, (size,), generator=noise.first_flips)
            flips = (first[order] + noise.epoch) % 2
        return torch.stack([order, *corners, flips], 1).to(self.device)

    def fetch(self, batch: Batch) -> Pair:
        """Return the images of a batch and their labels, unless both were fetched with those of other batches."""
        match batch:
            case images, labels:
                return images, labels
            case _:
                return self.augmented(*batch)

    def augmented(self, choices: Tensor) -> Pair:
        """Return images, cropped and mirrored as drawn, and their labels. Nothing waits for the device.

        Crop and flip are folded into the places that are fetched, so that every pixel is touched once. Images that are
        not augmented are copied whole, which is several times faster.

        Args:
            choices: some rows of what :meth:`epoch` returns.
        """
        index, top, left, flip = choices.unbind(1)
        labels = self.device_labels["train"].index_select(0, index)
        if not (self.padding or self.flip):
            return self.normalize(self.images["train"].index_select(0, index)), labels
        rows = top[:, None] + self.rows
        across = torch.where(flip[:, None].bool(), self.columns.flip(0), self.columns)
        columns = left[:, None] + across
        height, width = self.padded_size
        places = ((index[:, None] * height + rows) * width)[:, :, None] + columns[:, None, :]
        images = self.train_pixels.index_select(0, places.flatten())
        shape = (len(index), len(self.rows), len(self.columns), -1)
        return self.normalize(images.view(shape)), labels

    def stored(self, split: str, parts: Sequence[Tensor]) -> Iterator[Tensor]:
        return (self.images[split][part] for part in parts)

    @cached_property
    def mean_image(self) -> Tensor:
        """The average training image, (C, H, W) in [0, 1]; bytes are summed in whole numbers."""
        images, low, high = self.dataset.train.images, self.dataset.low, self.dataset.high
        whole = images.dtype == torch.uint8
        total = torch.from_numpy(images.numpy().sum(0, dtype=np.int64 if whole else np.float64)).double()
        mean = (total - low * len(images)) / ((high - low) * len(images))
        return mean.float().permute(2, 0, 1).contiguous().to(self.device)


def bordered(images: Tensor, padding: int, border: str) -> Tensor:
    """Return images (N, H, W, C) with ``padding`` more pixels on each side, black or mirrored at the edge.

    Black is that of the pixels: it comes before normalization.
    """
    if border == REFLECTED:
        rows, columns = (reflected(size, padding) for size in images.shape[1:3])
        return images[:, rows][:, :, columns]
    return F.pad(images, (0, 0, *[padding] * 4))


def reflected(size: int, padding: int) -> Tensor:
    """Return the places of ``size`` pixels and, on each side, ``padding`` mirrored ones: 1 0 1 2 1 for 3 and 1."""
    places = torch.arange(-padding, size + padding).abs()
    return torch.where(places < size, places, 2 * (size - 1) - places)
