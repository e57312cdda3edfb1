"""Static sparse training, the control of masks that change."""

from dataclasses import dataclass

from pruning.methods.random_erk import RandomERK
from pruning.strategy import strategies


@strategies.register("static")
@dataclass(frozen=True, kw_only=True)
class Static(RandomERK):
    """Keeps the mask that SET and RigL start from: random, at Erdos-Renyi-kernel densities.

    Evci et al. 2020, "Rigging the Lottery", section 4.
    """
