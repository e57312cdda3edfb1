"""How far two networks are apart: in their weights, and in what they answer."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Tensors = Mapping[str, Tensor]


def weight_distances(first: Tensors, second: Tensors, names: Collection[str]) -> dict[str, float]:
    """Return the distances of two networks' parameters called ``names``, each network taken as one float64 vector.

    They are ``l2`` and ``angular``, the latter in radians, from 0 (same direction) to pi.
    """
    one, other = flat(first, names), flat(second, names)
    return {"l2": float((one - other).norm()), "angular": angle(one, other)}


def layer_distances(first: Tensors, second: Tensors, names: Collection[str]) -> dict[str, float]:
    """Return the L2 distance of each parameter."""
    return {name: float((first[name].cpu().double() - second[name].cpu().double()).norm()) for name in names}


def flat(tensors: Tensors, names: Iterable[str]) -> Tensor:
    return torch.cat([tensors[name].cpu().double().flatten() for name in names])


def angle(one: Tensor, other: Tensor) -> float:
    """Return the angle between two vectors: ``2 atan2(|u - v|, |u + v|)`` for their unit vectors u and v.

    Unlike the arc cosine it is exact near 0. The angle with a zero vector is 0.
    """
    lengths = one.norm(), other.norm()
    if not all(lengths):
        return 0.0
    u, v = one / lengths[0], other / lengths[1]
    return 2 * math.atan2(float((u - v).norm()), float((u + v).norm()))


@torch.inference_mode()
def outputs(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the outputs for every image, before the softmax: float32 (N, classes), on the CPU."""
    model.eval()
    return torch.cat([model(inputs).float() for inputs, _ in batches]).cpu()


def disagreement(first: Tensor, second: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return how often two networks' predicted classes (N,) differ; ``labels`` are the true ones.

    Returns:
        ``disagreement``: the fraction of images on which they differ. ``classification_difference``: the number of
        those over the largest number that the two networks' errors allow, ``min(N, wrong_1 + wrong_2)`` (they differ
        only where one of them is wrong); 0 if neither is ever wrong. The latter compares networks of different
        accuracy; Bolwerk 2021 computes it in the thesis's code.
    """
    differing = int((first != second).sum())
    possible = min(len(labels), int((first != labels).sum()) + int((second != labels).sum()))
    return {
        "disagreement": differing / len(labels),
        "classification_difference": differing / possible if possible else 0.0,
    }


def ensemble_accuracy(probabilities: Iterable[Tensor], labels: Tensor) -> float:
    """Return the accuracy of several networks that answer the class of the largest mean probability.

    Lakshminarayanan et al. 2017, arXiv 1612.01474; what it has over the networks' own accuracy says whether they are
    different functions (Fort et al. 2020, arXiv 1912.02757).

    Probabilities are (N, classes) for each network, labels (N,).
    """
    return float((sum(probabilities).argmax(1) == labels).double().mean())  # type: ignore[union-attr]
