"""What data sets deliver: images or features with their labels, decoded or in their files; and the sets by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foundations.errors import UsageError
from foundations.formats import digest
from foundations.registry import Registry
from foundations.reporting import Reporter
from models.registry import ImageShape

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of each channel, as everybody normalizes large images; those of open_lth and of torchvision's networks."""


@dataclass(frozen=True, eq=False)
class Split:
    """The training set, the test set or the validation set.

    Args:
        images: (N, H, W, C), uint8; features other than images, float32.
        labels: (N,), int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Tensor) -> "Split":
        """Return the images with these indices, in their order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False, kw_only=True)
class Splits:
    """The parts of a data set, and what is known of it; all of that stays the same when ``train`` is reduced."""

    train: Split
    test: Split
    validation: Split | None = None
    """What has been held out of the training set, if anything."""
    class_names: tuple[str, ...]
    """The name of each label."""
    fingerprint: str
    """Of the data before any transformation."""
    flip: bool = True
    """Whether a mirrored training image is still one of its class."""
    mean: tuple[float, ...]
    """Of each channel, over all training images, as pixels in [0, 1]."""
    std: tuple[float, ...]
    """The standard deviation alike; 1 for a channel that is constant."""
    low: float = 0.0
    """What counts as 0 where a pixel is asked for that lies in [0, 1]."""
    high: float = 255.0
    """What counts as 1."""
    remarks: tuple[str, ...] = ()
    """What was noticed on reading that the user should know."""

    @property
    def unit(self) -> int:
        """What a stored value is divided by to lie in [0, 1] if it is a pixel; 1 for features."""
        return 255

    @property
    def shape(self) -> ImageShape:
        """Size of the images and number of classes, for which a model is built."""
        raise NotImplementedError

    @property
    def splits(self) -> dict[str, Split]:
        """``train``, ``test`` and, where there is one, ``validation``."""
        held_out = {} if self.validation is None else {"validation": self.validation}
        return {"train": self.train, "test": self.test, **held_out}

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def normalization(self, kind: str) -> tuple[Sequence[float], Sequence[float]]:
        """Return ``mean`` and ``std`` of each channel for ``DataHparams.normalization``.

        Inputs are (value - mean) / std, of pixels in [0, 1] or of features as stored.
        """
        if kind == "standardize":
            return self.mean, self.std
        images, channels = self.unit == 255, self.shape.channels
        low, size = (0.0, 1.0) if images else (self.low, self.high - self.low)
        if kind == "none":
            low, size = 0.0, 1 / 255 if images else 1.0
        return (low,) * channels, (size,) * channels


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset(Splits):
    """What a registered data set returns; make one with :meth:`from_arrays` or :meth:`from_features`.

    Its fingerprint is the sha256 of the decoded images and labels, in hex.
    """

    crop_padding: int
    """Training images are padded by so many black pixels on each side, then cropped at random."""

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
        """Return a data set of NumPy arrays or tensors.

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
        names = fitting_names(train, test, class_names)
        mean, std = moments(train.images)
        return cls(
            train=train, test=test, class_names=names, fingerprint=fingerprint(train, test), mean=mean, std=std,
            crop_padding=crop_padding, flip=flip,
        )  # fmt: skip

    @classmethod
    def from_features(
        cls,
        train_features: Any,
        train_labels: Any,
        test_features: Any,
        test_labels: Any,
        class_names: Sequence[str] | None = None,
    ) -> "Dataset":
        """Return a data set of numbers other than bytes. They are used as they are, neither normalized nor augmented.

        Args:
            train_features: (N, features), (N, channels, length), (N, channels, height, width) or, with all further
                axes flattened into the last one, more; real and finite. Test features likewise.
            train_labels: (N,), whole numbers from 0.
            test_features: see above.
            test_labels: see above.
            class_names: as for :meth:`from_arrays`.

        Raises:
            UsageError: the arrays do not fit each other.
        """
        train = Split(in_channels(train_features), torch.as_tensor(train_labels).to(torch.int64))
        test = Split(in_channels(test_features), torch.as_tensor(test_labels).to(torch.int64))
        names = fitting_names(train, test, class_names)
        low, high = (float(extreme) for extreme in train.images.aminmax())
        channels = train.images.shape[3]
        return cls(
            train=train, test=test, class_names=names, fingerprint=fingerprint(train, test), crop_padding=0, flip=False,
            mean=(0.0,) * channels, std=(1.0,) * channels, low=low, high=high if high > low else low + 1,
        )  # fmt: skip

    @property
    def unit(self) -> int:
        return 255 if self.train.images.dtype == torch.uint8 else 1

    @property
    def shape(self) -> ImageShape:
        _, height, width, channels = self.train.images.shape
        return ImageShape(channels, height, width, self.classes)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFiles(Splits):
    """What a registered data set returns that is streamed; the counterpart of ``Dataset``.

    Its splits hold the numbers of their images in ``paths`` in the place of the images. Its fingerprint is the sha256
    of the names, sizes and times of all files, in hex; with ``+`` and a sha256 of their contents after it, where that
    was asked for.
    """

    paths: np.ndarray
    """Of all images, encoded, (N,); an array of bytes, since a million strings would fill each worker."""
    size: int = 224
    """Height and width of what a network is given."""
    resized: int = 256
    """The shorter side, before the middle is cut out for evaluation."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    @property
    def shape(self) -> ImageShape:
        return ImageShape(3, self.size, self.size, self.classes)


Loader = Callable[[Path, Reporter], Dataset | ImageFiles]

datasets: Registry[Loader] = Registry("data set", "dataset")
"""Functions from the directory of all data sets and a reporter to a ``Dataset``, or to ``ImageFiles``."""


def make_split(name: str, images: Any, labels: Any) -> Split:
    """Return a split of arrays; raises ``UsageError`` if they are not images and labels."""
    images, labels = torch.as_tensor(images), torch.as_tensor(labels)
    if images.ndim == 3:
        images = images.unsqueeze(3)
    if images.ndim != 4 or images.dtype != torch.uint8 or len(images) == 0:
        raise UsageError(
            f"the {name} images of a data set must be uint8 of shape (N, H, W) or (N, H, W, C), "
            f"not {images.dtype} of shape {tuple(images.shape)}"
        )
    if images.shape[1] <= 4 < images.shape[3]:
        raise UsageError(
            f"the {name} images of a data set have shape {tuple(images.shape)}, which looks like (N, C, H, W); "
            "expected (N, H, W, C): images.transpose(0, 2, 3, 1)"
        )
    if labels.shape != images.shape[:1] or labels.is_floating_point():
        raise UsageError(f"the {name} labels of a data set must be one whole number for each of {len(images)} images")
    return Split(images.contiguous(), labels.to(torch.int64))


def in_channels(features: Any) -> Tensor:
    """Return features (N, ...) as (N, H, W, C), float32; see :meth:`Dataset.from_features`."""
    values: Tensor = torch.as_tensor(features).float()
    if values.ndim == 4 and values.shape[1] == values.shape[2] > 4 >= values.shape[3]:
        raise UsageError(
            f"features have shape {tuple(values.shape)}, which looks like (N, height, width, channels); expected "
            "(N, channels, height, width): x.transpose(0, 3, 1, 2)"
        )
    if values.ndim < 4:  # (N, features) or (N, channels, length)
        channels = values.shape[1] if values.ndim == 3 else 1
        values = values.reshape(len(values), channels, 1, -1)
    return values.flatten(3).permute(0, 2, 3, 1).contiguous()


def fitting_names(train: Split, test: Split, class_names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the classes; ``UsageError`` if the splits differ in size or have labels without a name."""
    if train.images.shape[1:] != test.images.shape[1:]:
        sizes = " and ".join(str(tuple(split.images.shape[1:])) for split in (train, test))
        raise UsageError(f"the training and test images of a data set differ in size: {sizes}")
    labels = torch.cat([train.labels, test.labels])
    if class_names is None and int(labels.min()) > 0:
        raise UsageError(
            f"the labels of a data set go from {labels.min()} to {labels.max()}, and no image has the label 0; "
            "subtract the smallest, or give class names"
        )
    if class_names is None:
        class_names = [str(label) for label in range(int(labels.max()) + 1)]
    if int(labels.min()) < 0 or int(labels.max()) >= len(class_names):
        raise UsageError(f"the labels of a data set must lie in 0 to {len(class_names) - 1}, by its class names")
    return tuple(class_names)


def moments(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, in pixels of [0, 1].

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
    """Return the sha256 of shapes, images and labels of both splits, in hex."""
    parts: list[bytes | memoryview] = []
    for split in (train, test):
        parts.append(repr(tuple(split.images.shape)).encode())
        parts += [split.images.numpy().data, split.labels.numpy().data]
    return digest(*parts)
