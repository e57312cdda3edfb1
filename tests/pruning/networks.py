"""Small networks of the kinds that people have, for images of 1x8x8 pixels and ten classes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHAPE = (1, 8, 8)


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def mlp(middle: nn.Module | None = None, width: int = 12) -> nn.Sequential:
    """Three linear layers; ``middle`` stands after the first ReLU."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, width), nn.ReLU(), middle or nn.Identity(), nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, 10),
    )  # fmt: skip


def convolutional(middle: Callable[[Tensor], Tensor]) -> nn.Sequential:
    """A convolution, ``middle``, and a linear layer."""
    front = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), Apply(middle), nn.Flatten())
    return nn.Sequential(*front, nn.Linear(front(torch.zeros(1, *SHAPE)).shape[1], 10))


class OwnLayerNorm(nn.Module):
    """A layer normalization written by hand."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return self.weight * centred / torch.sqrt(x.var(-1, keepdim=True) + 1e-5) + self.bias


class StandardizedConv2d(nn.Conv2d):
    """Weight standardization."""

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, (self.weight - mean) / (deviation + 1e-5), self.bias, padding=self.padding)


class CosineLinear(nn.Linear):
    """A classifier of normalized weights."""

    def forward(self, x: Tensor) -> Tensor:
        return 16 * F.linear(F.normalize(x), F.normalize(self.weight))


class Shifted(nn.Module):
    """A parametrization whose zeros are no zeros."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight - weight.mean()


class ComputesOutside(nn.Module):
    """A linear layer whose weight is changed by the network, not by the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.fc = mlp(), nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.net(x), self.fc.weight - self.fc.weight.mean(), self.fc.bias)
