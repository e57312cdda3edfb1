"""The paths that a mask leaves from the input to the output."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.measurements.finished import Finished
from experiments.measurements.measurement import Measurement, measurements
from foundations.errors import UsageError
from pruning import Mask, prunable
from pruning.connectivity import effective_mask
from pruning.flow import flow_of
from pruning.methods.synflow import drop_factor, drop_shift


@measurements.register("effective_paths")
@dataclass(frozen=True, kw_only=True)
class EffectivePaths(Measurement):
    """How many paths of kept weights lead from the input to the output, and through how many units.

    Pham et al. 2023, "Towards data-agnostic pruning at initialization: what makes a good sparse mask?" (NeurIPS).
    ``log10`` of the number of paths and ``log10_dense`` of those before pruning: the sum of the outputs for an image of
    ones if every kept weight is one, so that each position of a convolution counts and average pooling divides;
    ``nodes`` is the share of output units and channels, of all prunable layers, that a path leads into.
    """

    def measure(self, finished: Finished) -> dict[str, float]:
        shape = finished.data.shape
        size = (shape.channels, shape.height, shape.width)
        mask, model = finished.mask.to("cpu"), finished.end
        effective = effective_mask(model, mask, size)
        units = {name: kept.flatten(1).any(1) if kept.dim() > 1 else kept for name, kept in effective.items()}
        return {
            "log10": log10_paths(model, mask, size),
            "log10_dense": log10_paths(model, Mask.ones(model).to("cpu"), size),
            "nodes": sum(int(one.sum()) for one in units.values()) / sum(one.numel() for one in units.values()),
        }


@torch.no_grad()
def log10_paths(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> float:
    """Return the logarithm of the number of paths from an input of this shape to the outputs; -inf if there is none."""
    network = copy.deepcopy(model).cpu().double().eval()
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not in the stubs
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            drop_shift(name, module)
            drop_factor(module)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
    for name, weight in prunable(network).items():
        weight.copy_(mask[name])
    total = flow_of(network, torch.ones(1, *shape, dtype=torch.float64)).sum()
    if not total.isfinite():
        raise UsageError("the number of paths is beyond that of float64, 1e308")
    return float(total.log10())
