"""GMP: gradual magnitude pruning."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.changing import ChangingMask, Moment
from pruning.mask import Mask
from pruning.methods.magnitude import Magnitude
from pruning.prunable import prunable
from pruning.prune import shrink
from pruning.shares import shares
from pruning.strategy import strategies


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
