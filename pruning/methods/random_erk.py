"""Random pruning with layer densities after Erdos and Renyi."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.batches import Batches
from pruning.prunable import prunable
from pruning.strategy import Strategy, strategies


@strategies.register("random_erk")
@dataclass(frozen=True, kw_only=True)
class RandomERK(Strategy):
    """Keeps weights drawn at random, each layer at its Erdos-Renyi-kernel density.

    Evci et al. 2020, "Rigging the Lottery", section 3: a layer with dimensions d_1, d_2, ... has the density
    min(1, eps * sum(d) / prod(d)), with the eps at which the whole network has the density asked for. So, as
    long as it is not full, a layer keeps eps * sum(d) weights.

    Score: sum(d) / (r + 1/2), r the weight's rank in a random order of its layer. A threshold of 1/eps on
    these scores keeps in every layer the ranks below eps * sum(d), and no more than there are: for any global
    density the cut falls at the eps that belongs to it.
    """

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        return {
            name: sum(weight.shape) / (random_ranks(weight, generator) + 0.5)
            for name, weight in prunable(model).items()
        }


def random_ranks(weight: Tensor, generator: torch.Generator) -> Tensor:
    """0, 1, ... in random order, in the shape of ``weight``; weights that are pruned, so zero, come last."""
    keys = torch.rand(weight.shape, generator=generator).to(weight.device) + (weight == 0)
    return keys.flatten().argsort(stable=True).argsort().view(weight.shape)
