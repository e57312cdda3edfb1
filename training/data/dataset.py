"""Decoded images and labels, as every data set delivers them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from foundations.errors import UsageError
from foundations.formats import digest
from models.shape import ImageShape


@dataclass(frozen=True, eq=False)
class Split:
    """The training set or the test set.

    Args:
        images: (N, H, W, C), uint8.
        labels: (N,), int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Tensor) -> "Split":
        """The images with these indices, in their order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a registered data set returns; make one with :meth:`from_arrays`.

    Args:
        train: the training set.
        test: the test set.
        class_names: the name of each label.
        crop_padding: training images are padded by so many black pixels on each side, then cropped at random.
        flip: whether a mirrored training image is still one of its class.
        mean: of each channel over all training images, as pixels in [0, 1].
        std: the standard deviation alike; 1 for a channel that is constant.
        fingerprint: sha256 of the decoded images and labels, in hex.

    ``mean``, ``std`` and ``fingerprint`` stay those of the whole data set when ``train`` is reduced.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    crop_padding: int
    flip: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str

    @classmethod
    def from_arrays(
        cls,
        train_images: Any,
        train_labels: Any,
        test_images: Any,
        test_labels: Any,
        class_names: Sequence[str] | None = None,
        *,
        crop_padding: int = 4,
        flip: bool = True,
    ) -> "Dataset":
        """A data set of NumPy arrays or tensors.

        Args:
            train_images: (N, H, W) or (N, H, W, C), uint8; test images likewise, of the same size.
            train_labels: (N,), whole numbers from 0.
            test_images: see above.
            test_labels: see above.
            class_names: by label; without them the labels themselves, up to the largest.
            crop_padding: see the class.
            flip: see the class.

        Raises:
            UsageError: the arrays are not of these types and shapes, or do not fit each other.
        """
        train = make_split("train", train_images, train_labels)
        test = make_split("test", test_images, test_labels)
        if train.images.shape[1:] != test.images.shape[1:]:
            sizes = " and ".join(str(tuple(split.images.shape[1:])) for split in (train, test))
            raise UsageError(f"the training and test images of a data set differ in size: {sizes}")
        labels = torch.cat([train.labels, test.labels])
        if class_names is None:
            class_names = [str(label) for label in range(int(labels.max()) + 1)]
        if int(labels.min()) < 0 or int(labels.max()) >= len(class_names):
            raise UsageError(f"the labels of a data set must lie in 0 to {len(class_names) - 1}, by its class names")
        mean, std = moments(train.images)
        return cls(train, test, tuple(class_names), crop_padding, flip, mean, std, fingerprint(train, test))

    @property
    def augment(self) -> bool:
        """Whether training images may be varied at all."""
        return self.flip or self.crop_padding > 0

    @property
    def channels(self) -> int:
        """1 for gray images, 3 for coloured ones."""
        return self.train.images.shape[3]

    @property
    def height(self) -> int:
        """Of an image, in pixels."""
        return self.train.images.shape[1]

    @property
    def width(self) -> int:
        """Of an image, in pixels."""
        return self.train.images.shape[2]

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def shape(self) -> ImageShape:
        """What a model is built for: size of the images and number of classes."""
        return ImageShape(self.channels, self.height, self.width, self.classes)


def make_split(name: str, images: Any, labels: Any) -> Split:
    """A split of arrays; raises ``UsageError`` if they are not images and labels."""
    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    if images.ndim == 3:
        images = images.unsqueeze(3)
    if images.ndim != 4 or images.dtype != torch.uint8 or len(images) == 0:
        raise UsageError(
            f"the {name} images of a data set must be uint8 of shape (N, H, W) or (N, H, W, C), "
            f"not {images.dtype} of shape {tuple(images.shape)}"
        )
    if labels.shape != images.shape[:1] or labels.is_floating_point():
        raise UsageError(f"the {name} labels of a data set must be one whole number for each of {len(images)} images")
    return Split(images.contiguous(), labels.to(torch.int64))


def moments(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in pixels of [0, 1].

    They are taken from whole numbers, so they do not depend on the machine or the order of summation.
    """
    means, deviations = [], []
    for channel in images.unbind(3):
        counts = torch.bincount(channel.flatten(), minlength=256).tolist()
        size = sum(counts)
        first = sum(value * count for value, count in enumerate(counts))
        second = sum(value**2 * count for value, count in enumerate(counts))
        means.append(first / (255 * size))
        deviations.append((size * second - first**2) ** 0.5 / (255 * size) or 1.0)
    return tuple(means), tuple(deviations)


def fingerprint(train: Split, test: Split) -> str:
    """The sha256 of shapes, images and labels of both splits, in hex."""
    parts: list[bytes | memoryview] = []
    for split in (train, test):
        parts.append(repr(tuple(split.images.shape)).encode())
        parts += [split.images.numpy().data, split.labels.numpy().data]
    return digest(*parts)
