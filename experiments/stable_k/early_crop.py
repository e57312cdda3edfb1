"""``--k=early_crop``: prune where the weights go away from their early values ever more slowly."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import nn

from experiments.stable_k.along_trunk import AlongTrunk, Seen, Walk
from experiments.stable_k.registry import criteria
from foundations.steps import Step


@criteria.register("early_crop")
@dataclass(frozen=True, kw_only=True)
class EarlyCrop(AlongTrunk):
    """The first k at which the weights hardly leave their early values (EarlyCroP).

    The rule of EarlyCroP's published code (Rachwan et al. 2022, arXiv 2206.10451; the authors' repository
    Early-Cropression-via-Gradient-Flow-Preservation, ``models/trainers/DefaultTrainer.py`` at 6fb1176): with w_t all
    parameters after epoch t and d_t = ||w_t - w_1|| / ||w_1||, the network is pruned at the first t > 2 with
    |d_t - d_(t-1)| < density d_2, where d_2 is the first distance that there is.
    """

    def look(self, walk: Walk, steps: Sequence[Step], before: Sequence[Seen]) -> Seen:
        if not before:
            return Seen()
        distances = [seen.more["distance"] for seen in before[1:]]
        newest = relative_distance(walk.network(steps[-1]), walk.network(steps[0]))
        threshold = walk.desc.density * [*distances, newest][0]
        value = abs(newest - distances[-1]) if distances else None
        return Seen(value=value, threshold=threshold, more={"distance": newest})


@torch.no_grad()
def relative_distance(model: nn.Module, start: nn.Module) -> float:
    """The Euclidean distance between all parameters of two networks, relative to the length of those of ``start``."""
    pairs = list(zip(model.parameters(), start.parameters(), strict=True))
    away = sum(float((one.double() - other.double()).square().sum()) for one, other in pairs)
    length = sum(float(other.double().square().sum()) for _, other in pairs)
    return sqrt(away / length) if length else 0.0
