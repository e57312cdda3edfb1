"""SNIP: pruning by the loss's sensitivity to each connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pruning.batches import Batches
from pruning.gradients import added, gradients, loss
from pruning.methods.of_loss import OfLoss
from pruning.prunable import prunable
from pruning.strategy import strategies


@strategies.register("snip")
@dataclass(frozen=True, kw_only=True)
class SNIP(OfLoss):
    """Keeps the weights whose removal changes the loss most. Score: |sum over batches of dL/dc| at c = 1.

    Lee et al. 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", equations 4 to 6: c
    multiplies the weights, so dL/dc = w * dL/dw. As in the paper the absolute value is taken after summing
    over the batches. The paper divides by the sum of all scores, which changes no rank and is left out.
    """

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        return sensitivities(model, prunable(model), batches)


def sensitivities(model: nn.Module, weights: Mapping[str, Tensor], batches: Batches) -> dict[str, Tensor]:
    """|w * dL/dw|, L summed over the batches; the derivative is the model's, w comes from ``weights``."""
    total = None
    for inputs, labels in batches:
        total = added(total, gradients(loss(model, inputs, labels), prunable(model)))
    assert total is not None, "there is at least one batch"
    return {name: (weight * g).abs() for (name, weight), g in zip(weights.items(), total, strict=True)}


@strategies.register("iterative_snip")
@dataclass(frozen=True, kw_only=True)
class IterativeSNIP(SNIP):
    """SNIP in many small steps, so that each scores the network that the one before has left.

    De Jorge et al. 2021, "Progressive Skeletonization: Trimming more fat from a network at initialization",
    where it is called Iterative SNIP. What is pruned stays pruned, unlike in their FORCE.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"k": "0ep", "pruning_iterations": 100}
