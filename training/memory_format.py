"""The order in which images and weights lie in memory while a network is trained."""

import torch
from torch import Tensor, nn

NARROW = 16
"""Channels below which oneDNN's backward pass of a strided 1x1 convolution writes past the end of its buffer."""


def find_memory_format(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Channels-last, which is faster, unless it would crash.

    On a CPU the gradient of a strided 1x1 convolution with few input channels (fewer than 8 with AVX2, than 16 with
    AVX-512) corrupts the memory of the process in that format: uxlfoundation/oneDNN issue 6035. The narrow networks
    that hold one are channels-first.
    """
    if device.type == "cpu" and any(crashes(module) for module in model.modules()):
        return torch.contiguous_format
    return torch.channels_last


def crashes(module: nn.Module) -> bool:
    """Whether ``module`` is such a convolution."""
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels < NARROW
    )


def convert(images: Tensor, memory_format: torch.memory_format) -> Tensor:
    """``images`` (B, C, H, W), which come channels-last, in ``memory_format``.

    They are cloned, since gray images have either format, and PyTorch then takes them for channels-last.
    """
    return images if memory_format == torch.channels_last else images.clone(memory_format=memory_format)
