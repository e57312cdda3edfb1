"""Random pruning with layer densities after Erdos and Renyi."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.batches import Batches
from pruning.erk import erk_scores
from pruning.methods.random import Random
from pruning.prunable import prunable
from pruning.strategy import strategies


@strategies.register("random_erk")
@dataclass(frozen=True, kw_only=True)
class RandomERK(Random):
    """Keeps weights drawn at random, each layer at its Erdos-Renyi-kernel density.

    Evci et al. 2020, "Rigging the Lottery", section 3; see :func:`pruning.erk.erk_scores`.
    """

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        weights = prunable(model)
        order = super().score(model, batches, generator)
        return {name: erk_scores(-order[name], weight != 0) for name, weight in weights.items()}
