"""RigL: weights that matter little are exchanged for those that the loss asks for."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.methods.set import SET
from pruning.strategy import strategies


@strategies.register("rigl")
@dataclass(frozen=True, kw_only=True)
class RigL(SET):
    """Drops the smallest weights of each layer again and again, and grows as many of the largest gradients.

    Evci et al. 2020, "Rigging the Lottery: Making All Tickets Winners", algorithm 1. All else is as in :class:`SET`.
    The gradients are those of the batch that is trained on next; the authors' code spends a batch on the update alone.
    """

    def growth(self, gradient: Tensor, generator: torch.Generator) -> Tensor:
        return gradient.abs()
