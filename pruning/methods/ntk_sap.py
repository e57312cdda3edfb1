"""NTK-SAP: pruning that keeps the spectrum of the neural tangent kernel, without data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.nn.modules.batchnorm import _BatchNorm

from foundations.hparams import hp
from pruning.batches import Batches
from pruning.flow import scores_with
from pruning.prunable import prunable
from pruning.strategy import Strategy, strategies


@strategies.register("ntk_sap")
@dataclass(frozen=True, kw_only=True)
class NTKSAP(Strategy):
    """Keeps the weights that matter for the neural tangent kernel. Score: |m * d/dm sum |f(m w) - f(m (w + e z))|^2|.

    Wang et al. 2023, "NTK-SAP: Improving neural network pruning by aligning training dynamics", ICLR, arXiv 2304.02840.
    m is the mask, z standard normal, e small: the sum estimates the nuclear norm of the kernel. The inputs are Gaussian
    noise of the images' shape, and weights are drawn anew for every batch, so that the mask belongs to the architecture
    and to no weights. BatchNorm normalizes both networks by the statistics of one pass over the noise.

    In the authors' code (YiteWang/NTK-SAP, Pruners/pruners.py) every iteration draws other weights and noise; here all
    iterations of one pruning have the same.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"k": "0ep", "pruning_iterations": 100}

    ntk_sap_weights: str = hp("drawn", choices=("drawn", "own"))
    """The weights at which the outputs are compared: drawn anew (He et al. 2015), with BatchNorm as at its start, or
    the network's own, those of step k."""

    ntk_sap_epsilon: float = hp(0.01, within="(0, inf)")
    """Size of the perturbation of the weights."""

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        weights = prunable(model)
        mask = {name: (weight != 0).to(weight.dtype).requires_grad_() for name, weight in weights.items()}
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for inputs, _ in batches:
            own = {name: self.drawn(weight, generator) for name, weight in weights.items()}
            moved = {name: w + self.ntk_sap_epsilon * normal(w, generator) for name, w in own.items()}
            noise = normal(inputs, generator)
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = 1.0  # the statistics are those of the last batch
                if self.ntk_sap_weights == "drawn" and norm.affine:
                    init.ones_(norm.weight)
                    init.zeros_(norm.bias)
            with torch.no_grad():
                outputs(model.train(), own, mask, noise)
            model.eval()
            difference = outputs(model, own, mask, noise) - outputs(model, moved, mask, noise)
            found = torch.autograd.grad(difference.square().sum(), list(mask.values()), materialize_grads=True)
            for name, g in zip(mask, found, strict=True):
                total[name] += g
        return {name: (g * mask[name].detach()).abs() for name, g in total.items()}

    def drawn(self, weight: Tensor, generator: torch.Generator) -> Tensor:
        if self.ntk_sap_weights == "own":
            return weight.detach()
        values = torch.empty(weight.shape, dtype=weight.dtype)
        return init.kaiming_normal_(values, generator=generator).to(weight.device)


def normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)


def outputs(model: nn.Module, weights: Mapping[str, Tensor], mask: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Return what the network makes of a batch with the given weights, masked."""
    masked = {name: mask[name] * weight for name, weight in weights.items()}
    return scores_with(model, masked, inputs)
