"""SynFlow-L2: SynFlow of the squared network."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from pruning.methods.synflow import SynFlow
from pruning.prunable import prunable
from pruning.strategy import strategies


@strategies.register("synflow_l2")
@dataclass(frozen=True, kw_only=True)
class SynFlowL2(SynFlow):
    """Keeps the weights through which most flows, all values squared. Score: |w * dR/d(w^2)|, R the sum of outputs.

    Gebhart et al. 2021, "A Unified Paths Perspective for Pruning at Initialization", arXiv 2101.10552; as in the code
    of Iurada et al. 2024 (iurada/px-ntk-pruning, lib/pruners.py), which multiplies by the weight and not by its square.
    As there BatchNorm's values are squared, too, its running variance among them. Choices and preconditions are those
    of :class:`SynFlow`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.synflow_signs == "kept":
            raise UsageError("--synflow_signs=kept: synflow_l2 squares all values, so that none keeps its sign")

    def make_positive(self, model: nn.Module) -> dict[str, Tensor]:
        factors = {name: weight.detach().clone() for name, weight in prunable(model).items()}
        torch._foreach_pow_([value for value in model.state_dict().values() if value.is_floating_point()], 2)
        return factors
