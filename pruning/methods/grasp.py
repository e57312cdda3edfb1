"""GraSP: pruning that preserves the gradient's size."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from foundations.hparams import hp
from pruning.batches import Batches
from pruning.gradients import Gradients, added, gradients, loss
from pruning.prunable import prunable
from pruning.strategy import Strategy, strategies


@strategies.register("grasp")
@dataclass(frozen=True, kw_only=True)
class GraSP(Strategy):
    """Keeps the weights whose removal would lower the gradient flow |g|^2 most. Score: w * (H g), signed.

    Wang et al. 2020, "Picking Winning Tickets Before Training by Preserving Gradient Flow", equation 8:
    taking out w changes |g|^2 by -2 w (H g) to first order. The paper's score is -w (H g), and it keeps the
    lowest; here, as for every strategy, the highest are kept, so the sign is turned. g is the gradient of the
    loss summed over the batches and H its Hessian; both passes see the same batches. Weights already pruned
    have no part in the flow.
    """

    mode: ClassVar[Literal["eval", "train"]] = "train"

    grasp_temperature: float = hp(200.0, within="(0, inf)")
    """What the logits are divided by before the loss, which evens out the softmax."""

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        weights = prunable(model)
        flow: Gradients | None = None
        for inputs, labels in batches:
            flow = added(flow, gradients(self.loss(model, inputs, labels), weights))
        assert flow is not None, "there is at least one batch"
        flow = tuple(g * (weight != 0) for g, weight in zip(flow, weights.values(), strict=True))

        curved: Gradients | None = None
        for inputs, labels in batches:
            g = gradients(self.loss(model, inputs, labels), weights, create_graph=True)
            product = torch.stack([(a * b).sum() for a, b in zip(g, flow, strict=True)]).sum()
            curved = added(curved, gradients(product, weights))
        assert curved is not None
        return {name: weight * h for (name, weight), h in zip(weights.items(), curved, strict=True)}

    def loss(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        """The cross entropy at the temperature."""
        return loss(model, inputs, labels, self.grasp_temperature)
