"""PX, path exclusion: SynFlow-L2 weighed by the paths that the data take."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from pruning.batches import Batches
from pruning.flow import class_scores, flow_of
from pruning.methods.loss_gradients import gradients
from pruning.prunable import prunable
from pruning.strategy import Strategy, strategies
from pruning.weight_use import Function, functions

GATED = functions(
    "relu", "relu6", "hardtanh", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish",
    "softplus", "threshold",
)  # fmt: skip
"""Activations that let a positive value through."""


@strategies.register("px")
@dataclass(frozen=True, kw_only=True)
class PX(Strategy):
    """Keeps the weights on the paths that matter for the trace of the neural tangent kernel. Score: (w * dR/d(w^2))^2.

    Iurada et al. 2024, "Finding Lottery Tickets in Vision Models via Data-driven Spectral Foresight Pruning", CVPR,
    arXiv 2406.01820. R is the sum of z1 * z2 over images and classes. z1 is what a network of ones makes of the squared
    images, with the gates that the images open in the network itself: the paths that they take. z2 is what the squared
    network makes of an image of ones, all gates open: the weight of the paths. So it is the relative of SynFlow that
    looks at the paths of the data.

    As in the authors' code (iurada/px-ntk-pruning, lib/pruners.py) the square is taken batch by batch, then summed, and
    in the network of ones BatchNorm only divides by sqrt(1 + eps) and biases are zero. Other activations than ReLU are
    gates that a positive value opens; bounded ones and a softmax at the end are treated as for :class:`SynFlow`.
    """

    dtype: ClassVar[torch.dtype | None] = torch.float64
    spoils_values_only: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, Any]] = {"k": "0ep", "pruning_iterations": 100}

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        weights = prunable(model)
        values = [value for value in model.state_dict().values() if value.is_floating_point()]
        own = [value.clone() for value in values]
        with torch.no_grad():
            gates = [gates_of(model, inputs) for inputs, _ in batches]
            make_ones(model)
            paths = [
                flow_of(model, inputs.square(), Gates(opened)).sum(0)
                for (inputs, _), opened in zip(batches, gates, strict=True)
            ]
            torch._foreach_copy_(values, own)
            factors = {name: weight.detach().clone() for name, weight in weights.items()}
            torch._foreach_pow_(values, 2)
        score = {name: torch.zeros_like(factor) for name, factor in factors.items()}
        for z1 in paths:
            z2 = flow_of(model, torch.ones_like(batches.image, memory_format=torch.contiguous_format)[None])
            for (name, factor), g in zip(factors.items(), gradients((z1 * z2).sum(), weights), strict=True):
                score[name] += (factor * g).square()
        return score


def gates_of(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Return which activations let a value through, call by call."""
    gates = Gates()
    with gates:
        class_scores(model, inputs)
    return gates.opened


def make_ones(model: nn.Module) -> None:
    """Make all weights that are kept one, biases zero, and BatchNorm nearly the identity."""
    for weight in prunable(model).values():
        weight.copy_(weight != 0)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            if module.affine:
                module.weight.fill_(1)
        if isinstance(module, (_ConvNd, nn.Linear, _BatchNorm)) and module.bias is not None:
            module.bias.zero_()


class Gates(TorchFunctionMode):
    """Notes down which activations let a value through, or multiplies by what has been noted down."""

    def __init__(self, opened: list[Tensor] | None = None) -> None:
        super().__init__()
        self.opened: list[Tensor] = []
        self.given = None if opened is None else iter(opened)

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in GATED:
            return func(*args, **kwargs)
        first: Tensor = args[0] if args else kwargs["input"]
        if self.given is None:
            self.opened.append(first > 0)
            return func(*args, **kwargs)
        in_place = bool(kwargs.get("inplace")) or func.__name__.endswith("_")
        return first.mul_(next(self.given)) if in_place else first * next(self.given)
