"""FORCE: iterative SNIP in which weights may come back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pruning.batches import Batches
from pruning.methods.snip import IterativeSNIP, sensitivities
from pruning.strategy import strategies


@strategies.register("force")
@dataclass(frozen=True, kw_only=True)
class FORCE(IterativeSNIP):
    """Iterative SNIP that may take back what it has pruned. Score: |w * dL/dw|, the gradient at the masked network.

    De Jorge et al. 2021, "Progressive Skeletonization: Trimming more fat from a network at initialization", section 4
    (foresight connection sensitivity): every iteration masks the network as the one before has decided, and then ranks
    all weights anew, the pruned ones by the values that they had. All iterations see the same batches; the authors draw
    new ones.
    """

    revives: ClassVar[bool] = True

    def score_all(
        self, model: nn.Module, weights: Mapping[str, Tensor], batches: Batches, generator: torch.Generator
    ) -> dict[str, Tensor]:
        return sensitivities(model, weights, batches)
