"""Image files decoded and transformed by worker processes, each image by its own random numbers."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from foundations.errors import UsageError
from foundations.interruption import STOPPING
from foundations.torchvision_import import import_torchvision
from training.data.dataset import ImageFiles
from training.data.image_files import read_image

PIXELS_LIMIT = 1 << 27
"""Pixels of an image that is decoded; a small file may claim any number."""
FEW = 64
"""Images that are decoded in this process: a worker takes longer to start."""

Transform = Callable[[Image.Image], Image.Image]


def augmentation(files: ImageFiles) -> Transform:
    """Return a random part of an image, 8 to 100% of its area, 3:4 to 4:3, at the network's size, perhaps mirrored.

    Szegedy et al. 2015, arXiv 1409.4842, section 6, with torchvision's defaults. Draws from PyTorch's global generator.
    """
    import_torchvision()
    from torchvision.transforms import v2

    flip = [v2.RandomHorizontalFlip()] if files.flip else []
    return v2.Compose([v2.RandomResizedCrop(files.size), *flip])  # type: ignore[no-any-return]


def middle(files: ImageFiles) -> Transform:
    """Return the middle of the image, once its shorter side has been resized."""
    import_torchvision()
    from torchvision.transforms import v2

    return v2.Compose([v2.Resize(files.resized), v2.CenterCrop(files.size)])  # type: ignore[no-any-return]


class Decoder:
    """A data set of PyTorch's kind, of some images in some order.

    Args:
        paths: of all images, encoded.
        numbers: which of them, (N,), int64.
        transform: makes them one size.
        seeds: (N,), int64, of the random numbers that ``transform`` draws for each; None if it draws none.
    """

    def __init__(self, paths: np.ndarray, numbers: Tensor, transform: Transform, seeds: Tensor | None = None) -> None:
        self.paths, self.numbers, self.transform, self.seeds = paths, numbers, transform, seeds

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> np.ndarray | str:
        """Return (H, W, 3), uint8; or why the file cannot be read: what a worker raises would come as a traceback."""
        try:
            image, _ = read_image(os.fsdecode(self.paths[self.numbers[place]]), PIXELS_LIMIT)
        except UsageError as error:
            return str(error)
        if self.seeds is None:
            return np.asarray(self.transform(image))
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(int(self.seeds[place]))
            return np.asarray(self.transform(image))


def decoded(decoder: Decoder, batches: Sequence[Sequence[int]], workers: int, *, pinned: bool) -> Iterator[Tensor]:
    """Return the images of ``batches`` of places, each (B, H, W, 3), uint8, on the CPU.

    Workers decode ahead, a batch each; however many there are, the bits are the same.

    Raises:
        UsageError: an image cannot be read.
    """
    from torch.utils.data import DataLoader

    few = sum(map(len, batches)) <= FEW
    dataset: Any = decoder  # one by its methods
    sampler: Any = batches
    loader: DataLoader[Any] = DataLoader(
        dataset, batch_sampler=sampler, num_workers=0 if few else min(workers, len(batches)), collate_fn=stacked,
        worker_init_fn=ignore_signals, pin_memory=pinned, generator=torch.Generator(),
    )  # fmt: skip
    for images in loader:
        if isinstance(images, str):
            raise UsageError(images)
        yield images


def stacked(images: Sequence[np.ndarray | str]) -> Tensor | str:
    """Return a batch, or why there is none."""
    for image in images:
        if isinstance(image, str):
            return image
    return torch.from_numpy(np.stack(images))


def ignore_signals(worker: int) -> None:
    """Leave Ctrl-C to the parent, which has a step to finish: the worker ends with it."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
