"""SET: weights that matter little are exchanged for others at random."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundations.hparams import hp
from pruning.changing import ChangingMask, Moment
from pruning.mask import Mask
from pruning.methods.random_erk import RandomERK
from pruning.prunable import prunable
from pruning.prune import highest
from pruning.strategy import strategies


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
