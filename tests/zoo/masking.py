"""Masks at random."""

import torch
from torch import nn

from adsynflow import Mask, prunable


def random_mask(model: nn.Module, density: float, seed: int = 0) -> Mask:
    generator = torch.Generator().manual_seed(1000 + seed)  # another one than the weights are drawn by: no correlation
    return Mask({
        name: torch.rand(weight.shape, generator=generator) < density for name, weight in prunable(model).items()
    })  # fmt: skip
