"""The order in which images and weights lie in memory while a network is trained."""

import torch
from torch import Tensor, nn

NARROW = 16
"""Channels below which oneDNN's backward pass of a strided 1x1 convolution writes past the end of its buffer."""


def find_layout(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Channels-last, which is the faster layout, unless it would crash.

    On a CPU the gradient of a strided 1x1 convolution with few input channels (fewer than 8 with AVX2, than 16 with
    AVX-512) corrupts the memory of the process in that layout: uxlfoundation/oneDNN issue 6035. The narrow networks
    that hold one are laid out channels-first.
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


def lay_out(images: Tensor, layout: torch.memory_format) -> Tensor:
    """``images`` (B, C, H, W), which come channels-last, in ``layout``.

    They are cloned, since gray images count as laid out either way, and PyTorch then takes them for channels-last.
    """
    return images if layout == torch.channels_last else images.clone(memory_format=layout)
