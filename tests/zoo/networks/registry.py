"""The zoo's networks by name. Each takes images (N, 1, 8, 8) and gives ten scores."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

Make = Callable[[], nn.Module]
M = TypeVar("M", bound=Make)

ZOO: dict[str, Make] = {}


def network(name: str) -> Callable[[M], M]:
    """Decorator: enter a class or function without arguments under ``name``."""

    def entered(make: M) -> M:
        assert name not in ZOO, f"two networks are called {name}"
        ZOO[name] = make
        return make

    return entered


def mlp(width: int = 16) -> nn.Sequential:
    """Three hidden layers; 3 and 5 are square."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width),
        nn.ReLU(), nn.Linear(width, 10),
    )  # fmt: skip


def convnet(*between: nn.Module, width: int = 8) -> nn.Sequential:
    """Two convolutions with ``between`` after the first one, a global average, and a classifier."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), *between, nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), *head(width)
    )


def head(width: int) -> list[nn.Module]:
    """What makes ten scores of (N, width, ., .)."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]
