"""GraSP: pruning that preserves the gradient's size."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundations.errors import UsageError, first_line
from foundations.hparams import hp
from pruning.batches import Batches
from pruning.gradients import Gradients, added, gradients, loss
from pruning.methods.of_loss import OfLoss
from pruning.prunable import prunable
from pruning.strategy import strategies


@strategies.register("grasp")
@dataclass(frozen=True, kw_only=True)
class GraSP(OfLoss):
    """Keeps the weights whose removal would lower the gradient flow |g|^2 most. Score: w * (H g), signed.

    Wang et al. 2020, "Picking Winning Tickets Before Training by Preserving Gradient Flow", equation 8:
    taking out w changes |g|^2 by -2 w (H g) to first order. The paper's score is -w (H g), and it keeps the
    lowest; here, as for every strategy, the highest are kept, so the sign is turned. g is the gradient of the
    loss summed over the batches and H its Hessian; both passes see the same batches. Weights already pruned
    have no part in the flow.

    The score does not ask how large the flow becomes. Where few weights are pruned they are those that hold it down:
    at density 0.8 LeNet-300-100 on digits starts at a loss of 11 to 19 instead of 3 with an |g|^2 a hundred times as
    large, and a learning rate that suits the full network can be too large for it.
    """

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
            curved = added(curved, self.curvature(product, weights))
        assert curved is not None
        return {name: weight * h for (name, weight), h in zip(weights.items(), curved, strict=True)}

    def loss(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        """The cross entropy at the temperature."""
        return loss(model, inputs, labels, self.grasp_temperature)

    def curvature(self, product: Tensor, weights: Mapping[str, nn.Parameter]) -> Gradients:
        """The gradients of something made of gradients; ``UsageError`` where PyTorch cannot compute them."""
        try:
            return gradients(product, weights)
        except RuntimeError as error:
            if "derivative for" not in str(error):
                raise
            raise UsageError(
                f"--pruning_strategy={self.name} needs a second derivative that PyTorch lacks ({first_line(error)}); "
                "choose another strategy for this model"
            ) from error
