"""What is compared before and after a strategy has scored a network."""

# ruff: noqa: NPY002  it is numpy's global generator that strategies may draw from

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

PLAIN = (bool, int, float, str, tuple, torch.dtype)


def anatomy(model: nn.Module) -> dict[str, object]:
    """A network but for its values: all attributes of all modules (submodules, tensors, hooks, modes), and what
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
    """Python's and numpy's random numbers, and torch's default type. (``prune`` itself sets back those of torch.)"""
    numpy = np.random.get_state(legacy=False)["state"]
    return {
        "the state of random": random.getstate(),
        "the state of numpy.random": (numpy["key"].tobytes(), numpy["pos"]),
        "torch's default dtype": torch.get_default_dtype(),
    }


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The names of what has come, gone, or become another: another object, or another plain value."""

    def same(name: str) -> bool:
        if name not in before or name not in after:
            return False
        old, new = before[name], after[name]
        return old is new or (isinstance(old, PLAIN) and type(old) is type(new) and old == new)

    return [name for name in {**before, **after} if not same(name)]


def altered(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors whose values have changed."""
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
