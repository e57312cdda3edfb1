"""Random pruning, the baseline."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.batches import Batches
from pruning.prunable import prunable
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
