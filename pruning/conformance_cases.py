"""The small networks on which strategies are checked, and what is compared before and after."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pruning.batches import Batches

CLASSES = 4


@dataclass(frozen=True, eq=False)
class Case:
    """A network, and batches of images (N, channels, height, width) for it."""

    name: str
    model: nn.Module
    batches: Batches

    def double(self) -> "Case":
        return Case(f"{self.name} in float64", self.model.double(), self.batches)

    def outputs(self) -> Tensor:
        """Return what the network makes of the first batch."""
        with torch.no_grad():
            outputs: Tensor = self.model(self.batches[0][0])
        return outputs


class Residual(nn.Module):
    """Convolutions with BatchNorm, and a shortcut past one of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6)
        self.shortcut = nn.Conv2d(4, 6, 1, stride=2, bias=False)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)) + self.shortcut(x))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def make_perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, CLASSES))


def make_residual() -> nn.Module:
    """Return a convolutional network for color images of 8x8 pixels; one of its weights is frozen."""
    model = Residual(3)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith(("mean", "var")):  # as after some training, when BatchNorm is no longer the identity
                buffer.add_(torch.rand(buffer.shape))
    model.fc.weight.requires_grad_(False)
    return model


NETWORKS: tuple[tuple[str, Callable[[], nn.Module], tuple[int, int, int], int], ...] = (
    ("perceptron", make_perceptron, (1, 6, 6), 1),
    ("residual network", make_residual, (3, 8, 8), 2),
)
"""Name, maker, shape of an image and number of batches."""


def cases() -> list[Case]:
    """Return the networks with their batches, the same at every call."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(0)
        return [Case(name, make(), make_batches(shape, count)) for name, make, shape, count in NETWORKS]


def make_batches(shape: tuple[int, int, int], count: int, size: int = 5) -> Batches:
    pixels = [torch.rand(size, *shape) for _ in range(count)]
    labels = [torch.randint(CLASSES, (size,)) for _ in range(count)]
    pairs = [((images - 0.5) / 0.25, classes) for images, classes in zip(pixels, labels, strict=True)]
    return Batches(pairs, pixels, torch.cat(pixels).mean(0))


# ruff: noqa: NPY002  it is numpy's global generator that strategies may draw from

PLAIN = (bool, int, float, str, tuple, torch.dtype)


def anatomy(model: nn.Module) -> dict[str, object]:
    """Return a network but for its values: all attributes of all modules (submodules, tensors, hooks, modes), and what
    hangs on each tensor."""
    found: dict[str, object] = {}
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            entries = value if isinstance(value, Mapping) else {"": value}
            found |= {f"{name}.{attribute}.{key}".strip("."): entry for key, entry in entries.items()}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        about = {"grad": tensor.grad, "requires_grad": tensor.requires_grad, "dtype": tensor.dtype}
        found |= {f"{name}.{key}": entry for key, entry in about.items()}
    return found


def process() -> dict[str, object]:
    """Return the random numbers of Python and numpy, and torch's default type (``prune`` sets back those of torch)."""
    numpy = np.random.get_state(legacy=False)["state"]
    return {
        "the state of random": random.getstate(),
        "the state of numpy.random": (numpy["key"].tobytes(), numpy["pos"]),
        "torch's default dtype": torch.get_default_dtype(),
    }


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Return the names of what has come, gone, or become another: another object, or another plain value."""

    def same(name: str) -> bool:
        if name not in before or name not in after:
            return False
        old, new = before[name], after[name]
        return old is new or (isinstance(old, PLAIN) and type(old) is type(new) and old == new)

    return [name for name in {**before, **after} if not same(name)]


def altered(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors whose values have changed."""
    return [name for name, tensor in before.items() if not torch.equal(tensor, after[name])]


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Within it all global random numbers come from ``seed``, and the default type is float32; afterwards as before."""
    python, numpy, dtype = random.getstate(), np.random.get_state(legacy=False), torch.get_default_dtype()
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            torch.set_default_dtype(dtype)
