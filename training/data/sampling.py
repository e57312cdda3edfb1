"""Random subsets of labelled images that do justice to every class."""

import torch
from torch import Tensor


def draw_balanced(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of ``count`` images, equally many of each class as far as the classes reach.

    Args:
        labels: (N,), int64.
        count: at most N.
        generator: on the CPU.

    Returns:
        (count,), in random order but so that every stretch of it is balanced too.
    """
    order, rank, _ = ranks(labels, generator)
    return order[torch.argsort(rank, stable=True)[:count]]


def draw_stratified(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices of ``count`` images, of each class in proportion (rounded as Sainte-Laguë allots seats).

    Returns:
        (count,), ascending.
    """
    order, rank, size = ranks(labels, generator)
    return order[torch.argsort((rank + 0.5) / size, stable=True)[:count]].sort().values


def ranks(labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """A random order of the images; at each place, the image's number in its class, and its class's size."""
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    by_class = torch.argsort(shuffled, stable=True)
    sizes = torch.bincount(shuffled)
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(order)
    rank[by_class] = torch.arange(len(order)) - starts[shuffled[by_class]]
    return order, rank, sizes[shuffled]
