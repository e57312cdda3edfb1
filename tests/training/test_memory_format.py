import pytest
import torch
from torch import nn

from training.arithmetic import convert, find_memory_format


def shortcut(channels: int, stride: int = 2, kernel: int = 1) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 32, kernel, stride, padding=kernel // 2))


@pytest.mark.parametrize(
    ("model", "device", "memory_format"),
    [
        (shortcut(15), "cpu", torch.contiguous_format),
        (shortcut(16), "cpu", torch.channels_last),
        (shortcut(4, stride=1), "cpu", torch.channels_last),
        (shortcut(4, kernel=3), "cpu", torch.channels_last),
        (shortcut(4), "cuda", torch.channels_last),
    ],
    ids=["narrow", "wide", "not strided", "3x3", "on CUDA"],
)
def test_only_a_narrow_strided_1x1_convolution_on_a_cpu_is_channels_first(
    model: nn.Module, device: str, memory_format: torch.memory_format
) -> None:
    assert find_memory_format(model, torch.device(device)) == memory_format


@pytest.mark.parametrize("channels", [1, 3])
def test_images_converted_to_channels_first_stay_so_in_a_network(channels: int) -> None:
    """Gray ones too, whose strides PyTorch reads as channels-last otherwise."""
    images = torch.rand(2, 8, 8, channels).permute(0, 3, 1, 2)
    first = convert(images, torch.contiguous_format)
    assert torch.equal(first, images)
    inside = nn.Conv2d(channels, 4, 3, padding=1)(first)
    assert not inside.is_contiguous(memory_format=torch.channels_last)
    assert convert(images, torch.channels_last) is images
