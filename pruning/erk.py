"""Layer densities after Erdos and Renyi."""

import torch
from torch import Tensor


def erk_scores(scores: Tensor, alive: Tensor) -> Tensor:
    """Scores of one layer such that the highest of all layers leave each at its Erdos-Renyi-kernel density.

    Evci et al. 2020, "Rigging the Lottery", section 3: a layer with dimensions d_1, d_2, ... has the density
    min(1, eps * sum(d) / prod(d)), with the eps at which the whole network has the density asked for. So, as
    long as it is not full, a layer keeps eps * sum(d) weights.

    The result is sum(d) / (r + 1/2), r the weight's rank in its layer. A threshold of 1/eps on it keeps in every
    layer the ranks below eps * sum(d), and no more than there are: for any global density the cut falls at the eps
    that belongs to it.

    Args:
        scores: of the layer's weights, in the layer's shape.
        alive: the weights that compete; all others rank behind them.
    """
    ordered = scores.masked_fill(~alive, -torch.inf).flatten().argsort(descending=True, stable=True)
    return sum(scores.shape) / (ordered.argsort() + 0.5).view(scores.shape)
