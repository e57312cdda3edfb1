"""The training images that a strategy may look at."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import torch
from torch import Tensor

from foundations.errors import UsageError

Pair = tuple[Tensor, Tensor]


class Batches(Sequence[Pair]):
    """A few batches of training data, without augmentation: a sequence of pairs (inputs, labels).

    Args:
        pairs: inputs (N, C, H, W), normalized as in training, and labels (N,), int64.
        pixels: the same images batch by batch (N, C, H, W) with values in [0, 1], not normalized; or what computes
            them, which is called if a strategy asks for them.
        mean_image: the average over the whole training set (C, H, W), in [0, 1]; likewise.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        pixels: Sequence[Tensor] | Callable[[], Sequence[Tensor]],
        mean_image: Tensor | Callable[[], Tensor],
    ) -> None:
        self.pairs = pairs
        self._pixels, self._mean_image = pixels, mean_image

    @cached_property
    def pixels(self) -> Sequence[Tensor]:
        """The images batch by batch (N, C, H, W), in [0, 1]."""
        return self._pixels() if callable(self._pixels) else self._pixels

    @cached_property
    def mean_image(self) -> Tensor:
        """The average over the whole training set (C, H, W), in [0, 1]."""
        return self._mean_image() if callable(self._mean_image) else self._mean_image

    @property
    def image(self) -> Tensor:
        """A tensor of an image's shape (C, H, W), type and device."""
        if not self.pairs and not self.pixels:
            raise no_images()
        return (self.pairs[0][0] if self.pairs else self.pixels[0])[0]

    @classmethod
    def of(cls, pairs: Iterable[Pair], pixels: Sequence[Tensor] | None = None) -> "Batches":
        """Return batches made of plain tensors; their mean image is that of all images given.

        Args:
            pairs: inputs (N, C, H, W) and labels (N,); all that an iterator or a DataLoader has is read.
            pixels: the same images with values in [0, 1]; by default the inputs, if they are not normalized.

        Raises:
            UsageError: a batch is no pair of tensors; as soon as a strategy asks for them, there are no images, or
                their pixels are not in [0, 1].
        """
        pairs = [checked(number, pair) for number, pair in enumerate(pairs)]

        def in_range() -> Sequence[Tensor]:
            return check_pixels([inputs for inputs, _ in pairs] if pixels is None else pixels)

        def mean() -> Tensor:
            images = in_range()
            return torch.cat([part.cpu() for part in images]).double().mean(0).to(images[0])

        return cls(pairs, in_range, mean)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | Sequence[Pair]:
        return self.pairs[index]

    def __iter__(self) -> Iterator[Pair]:
        if not self.pairs:
            raise no_images()
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batches":
        """Return the same batches on ``device``, images in ``dtype`` and channels-first in memory."""

        def moved(images: Tensor) -> Tensor:
            # A clone, since gray images count as contiguous in either memory format and keep the strides they have.
            return images.to(device, dtype).clone(memory_format=torch.contiguous_format)

        return Batches(
            pairs=[(moved(inputs), labels.to(device)) for inputs, labels in self.pairs],
            pixels=lambda: [moved(pixels) for pixels in self.pixels],
            mean_image=lambda: moved(self.mean_image),
        )


def checked(number: int, pair: Any) -> Pair:
    """Return a batch with labels in int64; raise ``UsageError`` if it is no pair of images and labels."""
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(part, Tensor) for part in pair)):
        keys = f" with the keys {', '.join(map(str, pair))}" if isinstance(pair, dict) else ""
        raise UsageError(
            f"Batch {number}: expected a pair of tensors (inputs, labels); got {type(pair).__name__}{keys}; "
            "for example Batches.of([(inputs, labels)])"
        )
    inputs, labels = pair
    if not inputs.is_floating_point():
        raise UsageError(f"Batch {number}: expected inputs of a floating-point type; got {inputs.dtype}")
    if len(inputs) != len(labels):
        raise UsageError(f"Batch {number}: there are {len(inputs)} inputs and {len(labels)} labels")
    return inputs, labels if labels.is_floating_point() else labels.long()


def check_pixels(pixels: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return ``pixels``; raise ``UsageError`` if there are none, or if one is not in [0, 1]."""
    if not sum(map(len, pixels)):
        raise no_images()
    low, high = torch.stack([torch.stack(part.aminmax()) for part in pixels if len(part)]).double().aminmax()
    if not (low >= 0 and high <= 1):
        raise UsageError(
            f"The images have values from {low:.4g} to {high:.4g}; give their pixels in [0, 1] beside them: "
            "Batches.of(pairs, pixels)"
        )
    return pixels


def no_images() -> UsageError:
    return UsageError("There are no images; give some, for example prune(strategy, model, [(inputs, labels)])")
