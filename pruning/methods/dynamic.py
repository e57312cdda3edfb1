"""Masks that change while the subnetwork trains: static (the control), SET, RigL, GMP."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundations.hparams import hp
from pruning.changing import ChangingMask, Moment
from pruning.mask import Mask
from pruning.methods.magnitude import Magnitude
from pruning.methods.random import RandomERK
from pruning.prunable import prunable
from pruning.prune import highest, shares, shrink
from pruning.strategy import strategies


@strategies.register("static")
@dataclass(frozen=True, kw_only=True)
class Static(RandomERK):
    """Keeps the mask that SET and RigL start from: random, at Erdos-Renyi-kernel densities.

    Evci et al. 2020, "Rigging the Lottery", section 4.
    """


@strategies.register("set")
@dataclass(frozen=True, kw_only=True)
class SET(RandomERK, ChangingMask):
    """Drops the smallest weights of each layer again and again, and grows as many others at random.

    Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science". Starts from a random mask of Erdos-Renyi-kernel densities; every layer keeps its own. The share
    that is dropped falls along a cosine to zero, as in Evci et al. 2020, equation 1. A weight that has just been
    dropped may grow again, and then goes on as if it had not been.
    """

    drop_fraction: float = hp(0.3, within="(0, 1]")
    """Share of a layer's weights that the first update would exchange."""

    def update(
        self, model: nn.Module, mask: Mask, gradients: Mapping[str, Tensor], generator: torch.Generator, moment: Moment
    ) -> Mask:
        fraction = self.drop_fraction / 2 * (1 + math.cos(math.pi * moment.progress))
        weights = prunable(model)
        return Mask({
            name: exchanged(weights[name].detach().abs(), kept, self.growth(gradients[name], generator), fraction)
            for name, kept in mask.items()
        })  # fmt: skip

    def growth(self, gradient: Tensor, generator: torch.Generator) -> Tensor:
        """Scores by which the weights of a layer grow: the highest do."""
        return torch.rand(gradient.shape, generator=generator).to(gradient.device)


def exchanged(size: Tensor, kept: Tensor, growth: Tensor, fraction: float) -> Tensor:
    """A layer's mask without the smallest ``fraction`` of its weights, and with as many others, of the highest growth.

    Args:
        size: magnitudes of the layer's weights.
        kept: its mask.
        growth: scores of the weights that are not kept.
        fraction: of the weights kept; rounded down to whole weights.
    """
    total = int(kept.count_nonzero())
    dropped = int(fraction * total)
    stays = highest(size.flatten(), kept.flatten(), total - dropped)
    grown = highest(growth.flatten(), ~stays, dropped)
    return (stays | grown).view(kept.shape)


@strategies.register("rigl")
@dataclass(frozen=True, kw_only=True)
class RigL(SET):
    """Drops the smallest weights of each layer again and again, and grows as many of the largest gradients.

    Evci et al. 2020, "Rigging the Lottery: Making All Tickets Winners", algorithm 1. All else is as in :class:`SET`.
    The gradients are those of the batch that is trained on next; the authors' code spends a batch on the update alone.
    """

    def growth(self, gradient: Tensor, generator: torch.Generator) -> Tensor:
        return gradient.abs()


@strategies.register("gmp")
@dataclass(frozen=True, kw_only=True)
class GMP(Magnitude, ChangingMask):
    """Prunes the smallest weights little by little while the network is trained.

    Zhu & Gupta 2017, "To prune, or not to prune", equation 1: the network starts dense, and after a share t of the time
    in which masks change its sparsity is s (1 - (1 - t)^3), s the one that it is to come to. What is pruned stays
    pruned.
    """

    def first_density(self, density: float) -> float:
        return 1.0

    def update(
        self, model: nn.Module, mask: Mask, gradients: Mapping[str, Tensor], generator: torch.Generator, moment: Moment
    ) -> Mask:
        density = 1 - (1 - moment.density) * (1 - (1 - moment.progress) ** 3)
        weights, alive = prunable(model), dict(mask)
        scores = {name: weights[name].detach().abs() for name in mask}
        shrink(scores, alive, shares(mask, density, moment.pruning), moment.pruning)
        return Mask(alive)
