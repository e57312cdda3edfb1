"""Small networks and data that the tests of pruning share."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from pruning import Batches, Strategy, prunable


@dataclass(frozen=True, kw_only=True)
class ByValue(Strategy):
    """Scores every weight with itself, signed: what a test writes into the weights is the score."""

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        return dict(prunable(model))


class Block(nn.Module):
    """A residual block; the shortcut is a strided convolution, or what is given."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, shortcut: nn.Module | None = None):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = shortcut or nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(inner + self.shortcut(x))


def residual_network(middle_shortcut: nn.Module | None = None) -> nn.Sequential:
    """A ResNet in small, for 2x8x8 images and 3 classes: 1,352 prunable weights in 7 layers."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        Block(4, 4, 1, middle_shortcut or nn.Identity()),
        Block(4, 8, 2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 3),
    )


@pytest.fixture
def by_value() -> Strategy:
    return ByValue()


@pytest.fixture
def make_residual() -> Callable[..., nn.Sequential]:
    """Builds and trains the residual network, with a middle shortcut of one's own."""

    def make(middle_shortcut: nn.Module | None = None) -> nn.Sequential:
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            return trained(residual_network(middle_shortcut))

    return make


@pytest.fixture
def residual(make_residual: Callable[..., nn.Sequential]) -> nn.Sequential:
    """The residual network after a few steps of training, so that BatchNorm is no longer fresh."""
    return make_residual()


@pytest.fixture
def batches() -> Batches:
    return random_batches()


def random_batches(count: int = 2, size: int = 6, classes: int = 3) -> Batches:
    """Batches of 2x8x8 images."""
    generator = torch.Generator().manual_seed(7)
    pixels = [torch.rand(size, 2, 8, 8, generator=generator) for _ in range(count)]
    labels = [torch.randint(classes, (size,), generator=generator) for _ in range(count)]
    pairs = [((image - 0.5) / 0.25, label) for image, label in zip(pixels, labels, strict=True)]
    return Batches(pairs, pixels, torch.cat(pixels).mean(0))


def trained(model: nn.Sequential, steps: int = 5) -> nn.Sequential:
    """``model`` after some steps of SGD."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    dtype = next(model.parameters()).dtype
    for _ in range(steps):
        for inputs, labels in random_batches():
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs.to(dtype)), labels).backward()
            optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return model
