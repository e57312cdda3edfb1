"""Gradients with respect to the weights, as the strategies need them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Gradients = tuple[Tensor, ...]


def gradients(output: Tensor, weights: Mapping[str, nn.Parameter], *, create_graph: bool = False) -> Gradients:
    """d output / d weight for every weight; zeros for one that the output does not depend on."""
    return torch.autograd.grad(output, list(weights.values()), create_graph=create_graph, materialize_grads=True)


def loss(model: nn.Module, inputs: Tensor, labels: Tensor, temperature: float = 1.0) -> Tensor:
    """The mean cross entropy of one batch, with the logits divided by ``temperature``."""
    return cross_entropy(model(inputs) / temperature, labels)


def added(first: Gradients | None, second: Gradients) -> Gradients:
    """The sum of two sets of gradients; None stands for zeros."""
    return second if first is None else tuple(a + b for a, b in zip(first, second, strict=True))
