"""The training images that a strategy may look at."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import overload

import torch
from torch import Tensor

from foundations.errors import UsageError

Pair = tuple[Tensor, Tensor]


class Batches(Sequence[Pair]):
    """A few batches of training data, without augmentation: a sequence of pairs (inputs, labels).

    Args:
        pairs: inputs (N, C, H, W), normalized as in training, and labels (N,), int64.
        pixels: the same images batch by batch (N, C, H, W) with values in [0, 1], not normalized.
        mean_image: the average over the whole training set (C, H, W), in [0, 1]; or what computes it, which is called
            if a strategy asks for it.
    """

    def __init__(
        self, pairs: Sequence[Pair], pixels: Sequence[Tensor], mean_image: Tensor | Callable[[], Tensor]
    ) -> None:
        self.pairs, self.pixels = pairs, pixels
        self._mean_image = mean_image

    @cached_property
    def mean_image(self) -> Tensor:
        """The average over the whole training set (C, H, W), in [0, 1]."""
        return self._mean_image() if callable(self._mean_image) else self._mean_image

    @classmethod
    def of(cls, pairs: Sequence[Pair], pixels: Sequence[Tensor] | None = None) -> "Batches":
        """Batches made of plain tensors; their mean image is that of all images given.

        Args:
            pairs: inputs (N, C, H, W) and labels (N,), int64.
            pixels: the same images with values in [0, 1]; by default the inputs, if they are not normalized.

        Raises:
            UsageError: there are no images, or their pixels are not in [0, 1].
        """
        pixels = [inputs for inputs, _ in pairs] if pixels is None else pixels
        if not sum(map(len, pixels)):
            raise UsageError("Batches.of: there are no images")
        together = torch.cat([part.cpu() for part in pixels]).double()
        low, high = together.aminmax()
        if not (low >= 0 and high <= 1):
            raise UsageError(
                f"Batches.of: the images have values from {low:.4g} to {high:.4g}; give their pixels in [0, 1] beside "
                "them: Batches.of(pairs, pixels)"
            )
        mean = together.mean(0).to(pixels[0])
        return cls(pairs=pairs, pixels=pixels, mean_image=mean)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | Sequence[Pair]:
        return self.pairs[index]

    def __len__(self) -> int:
        return len(self.pairs)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batches":
        """The same batches on ``device``, images in ``dtype`` and channels-first in memory."""

        def moved(images: Tensor) -> Tensor:
            # A clone, since gray images count as contiguous in either memory format and keep the strides they have.
            return images.to(device, dtype).clone(memory_format=torch.contiguous_format)

        return Batches(
            pairs=[(moved(inputs), labels.to(device)) for inputs, labels in self.pairs],
            pixels=[moved(pixels) for pixels in self.pixels],
            mean_image=lambda: moved(self.mean_image),
        )
