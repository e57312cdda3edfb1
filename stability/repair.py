"""REPAIR: statistics of activations between two networks without BatchNorm (Jordan et al. 2022, arXiv 2211.08403)."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pruning.channels import ChannelGraph
from pruning.operations import BATCHNORMS, CONVOLUTIONS
from stability.interpolation import Line

NORMS: dict[type[nn.Module], Any] = {**dict(zip(CONVOLUTIONS, BATCHNORMS, strict=True)), nn.Linear: nn.BatchNorm1d}
"""BatchNorm for what a layer gives."""


class Rescaled(nn.Module):
    """A layer whose output channels are given a mean and a standard deviation, ``norm``'s shift and scale.

    As long as it is ``watching``, the output stays as it is, and only ``norm``'s running statistics follow it.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        weight = layer.weight
        assert isinstance(weight, Tensor)
        self.layer, self.watching = layer, False
        self.norm = NORMS[type(layer)](len(weight), device=weight.device, dtype=weight.dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layer(inputs)
        rescaled: Tensor = self.norm(outputs)
        return outputs if self.watching else rescaled


class Repair:
    """The networks on a line, every channel of theirs with the statistics that lie between those of the two ends.

    For each channel of each layer but the last, before its non-linearity: with the mean m_0, m_1 and the standard
    deviation s_0, s_1 at the ends, the output y of the layer at a, of mean m and standard deviation s, becomes
    ``((1 - a) s_0 + a s_1) (y - m) / s + (1 - a) m_0 + a m_1``. Layers further on see what those before them have
    become. Where BatchNorm does that already, recalculating its statistics is all there is to do.
    """

    def __init__(self, line: Line, graph: ChannelGraph, recalculate: Callable[[nn.Module], None]) -> None:
        """Measure the ends."""
        names = [layer.name for layer in graph.layers if layer.writes not in graph.output]
        self.line, self.recalculate = line, recalculate
        self.model, self.layers = with_rescaled(line.model, names)
        self.model.eval()
        self.ends = self._watched(0), self._watched(1)

    @torch.no_grad()
    def __call__(self, alpha: float) -> nn.Module:
        self.line.go_to(alpha)
        for layer, first, second in zip(self.layers, *self.ends, strict=True):
            torch.lerp(first[0], second[0], alpha, out=layer.norm.bias)
            torch.lerp(first[1], second[1], alpha, out=layer.norm.weight)
        self.recalculate(self.model)
        return self.model

    @torch.no_grad()
    def _watched(self, alpha: float) -> list[tuple[Tensor, Tensor]]:
        """Return mean and standard deviation of the channels of each layer, (channels,) each, at an end as it is."""
        self.line.go_to(alpha)
        for layer in self.layers:
            layer.watching = True
        self.recalculate(self.model)
        for layer in self.layers:
            layer.watching = False
        norms = [layer.norm for layer in self.layers]
        return [(norm.running_mean.clone(), (norm.running_var + norm.eps).sqrt()) for norm in norms]


def with_rescaled(model: nn.Module, names: Sequence[str]) -> tuple[nn.Module, list[Rescaled]]:
    """Return a copy of a model with some layers rescaled, and these; it has the model's own tensors."""
    tensors = [*model.parameters(), *model.buffers()]
    shared = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    layers = []
    for name in names:
        parent, _, last = name.rpartition(".")
        layers.append(Rescaled(shared.get_submodule(name)))
        setattr(shared.get_submodule(parent), last, layers[-1])
    return shared, layers
