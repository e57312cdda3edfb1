"""Random pruning, the baseline: uniform, or with layer densities after Erdos and Renyi."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.batches import Batches
from pruning.prunable import prunable
from pruning.prune import erk_scores
from pruning.strategy import Strategy, strategies


@strategies.register("random")
@dataclass(frozen=True, kw_only=True)
class Random(Strategy):
    """Keeps weights drawn uniformly. Score: a uniform random number."""

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        return {
            name: torch.rand(weight.shape, generator=generator).to(weight.device)
            for name, weight in prunable(model).items()
        }


@strategies.register("random_erk")
@dataclass(frozen=True, kw_only=True)
class RandomERK(Random):
    """Keeps weights drawn at random, each layer at its Erdos-Renyi-kernel density.

    Evci et al. 2020, "Rigging the Lottery", section 3; see :func:`pruning.prune.erk_scores`.
    """

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        weights = prunable(model)
        order = super().score(model, batches, generator)
        return {name: erk_scores(-order[name], weight != 0) for name, weight in weights.items()}
