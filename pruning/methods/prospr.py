"""ProsPr: pruning by the loss after a few steps of training."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from foundations.hparams import hp
from pruning.batches import Batches
from pruning.flow import scores_with
from pruning.methods.loss_gradients import OfLoss, second_derivatives
from pruning.prunable import prunable
from pruning.strategy import strategies


@strategies.register("prospr")
@dataclass(frozen=True, kw_only=True)
class ProsPr(OfLoss):
    """Keeps the weights that matter most for the loss after a few steps of training. Score: |dL(w_M)/dm| at m = 1.

    Alizadeh et al. 2022, "Prospect Pruning: Finding Trainable Weights at Initialization using Meta-Gradients", ICLR,
    arXiv 2202.08132: w_M are the weights after M steps of SGD that begin at m * w, each on a batch of its own, L is the
    loss on one batch more, and the derivative goes through all the steps. With M = 0 it is SNIP. If there are fewer
    batches than M + 1, they come again.

    In the authors' code (mil-ad/prospr) no derivative goes through the first step's gradient if there is momentum; here
    it does. The defaults there are a learning rate of 0.1 without momentum, and one batch for all steps.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"k": "0ep", "pruning_batches": 4}
    published: ClassVar[Mapping[str, Any]] = {
        **OfLoss.published, "prospr_lr": 0.1, "prospr_momentum": 0.0, "pruning_batches": 1,
    }  # fmt: skip

    prospr_steps: int = hp(3, within="[0, inf)")
    """Steps of training that are looked ahead, M."""

    prospr_lr: float = hp(0.5, within="(0, inf)")
    """Learning rate of these steps."""

    prospr_momentum: float = hp(0.9, within="[0, 1)")
    """Momentum of these steps."""

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        mask = {name: torch.ones_like(weight).requires_grad_() for name, weight in prunable(model).items()}
        ahead = {name: p * mask[name] if name in mask else p for name, p in model.named_parameters() if p.requires_grad}
        velocity: list[Tensor] | None = None
        *steps, last = islice(cycle(batches), self.prospr_steps + 1)
        with second_derivatives(self.name):
            for batch in steps:
                found = torch.autograd.grad(
                    loss(model, ahead, batch), list(ahead.values()), create_graph=True, materialize_grads=True
                )
                before = velocity or [torch.zeros_like(g) for g in found]
                velocity = [self.prospr_momentum * v + g for v, g in zip(before, found, strict=True)]
                ahead = {name: p - self.prospr_lr * v for (name, p), v in zip(ahead.items(), velocity, strict=True)}
            found = torch.autograd.grad(loss(model, ahead, last), list(mask.values()), materialize_grads=True)
        return {name: g.abs() for name, g in zip(mask, found, strict=True)}


def loss(model: nn.Module, parameters: Mapping[str, Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
    inputs, labels = batch
    return cross_entropy(scores_with(model, parameters, inputs), labels)
