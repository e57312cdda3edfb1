"""SRigL: RigL with as many weights for every neuron of a layer, and neurons that are given up."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from foundations.hparams import hp
from pruning.batches import Batches
from pruning.graph import channel_graph
from pruning.mask import Mask
from pruning.methods.dynamic import RigL, UpdateProgress, magnitudes
from pruning.methods.random import Random
from pruning.prunable import prunable
from pruning.prune import erk_scores, highest
from pruning.strategy import strategies


@strategies.register("srigl")
@dataclass(frozen=True, kw_only=True)
class SRigL(RigL):
    """RigL with a constant fan-in for the neurons of a layer; neurons with few salient weights are ablated.

    Lasby et al. 2024, "Dynamic Sparse Training with Structured Sparsity" (ICLR), section 3; code: mklasby/sparsimony,
    ``dst/srigl.py``, and calgaryml/condensed-sparsity, ``rigl_constant_fan.py``. A weight is salient if RigL would keep
    it. A neuron (a row of the weight) with fewer salient weights than ``gamma_sal`` times the fan-in loses all of its
    weights to the other neurons of its layer; those of the last layer stay. Where a layer's weights cannot be divided
    evenly, fan-ins differ by one, so that its density stays exact. What reads a neuron that is ablated reads a constant
    and goes first, so that ``compact`` can take the neuron out.
    """

    gamma_sal: float = hp(0.3, within="[0, 1]")
    """A neuron with fewer salient weights than this share of the fan-in is ablated; 0: none is."""

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        drawn = Random.score(self, model, batches, generator)
        return {
            name: erk_scores(drawn[name] - ranks(drawn[name]).view(weight.shape), weight != 0)
            for name, weight in prunable(model).items()
        }

    def update(
        self, model: nn.Module, mask: Mask, gradients: Mapping[str, Tensor], generator: torch.Generator,
        moment: UpdateProgress,
    ) -> Mask:  # fmt: skip
        salient = super().update(model, mask, gradients, generator, moment)
        last, sizes, entries = list(prunable(model))[-1], magnitudes(model, mask), {}
        useful: Mapping[str, Tensor] = {name: torch.ones_like(kept) for name, kept in mask.items()}
        for _ in range(2):  # neurons that are needed, where weights have no room in others, leave fewer constants
            alive = {
                name: neurons_kept(kept, salient[name], useful[name], 0.0 if name == last else self.gamma_sal)
                for name, kept in mask.items()
            }
            useful = without_constants(model, alive, mask)
        for name, kept in mask.items():
            total = int(kept.count_nonzero())
            stays = kept & useful[name] & alive[name].view(-1, *(1 for _ in kept.shape[1:]))
            keep = total - int(self.exchanged_fraction(moment) * total)
            stays = highest(sizes[name].flatten(), stays.flatten(), keep).view(kept.shape)
            growth, size = gradients[name].abs().masked_fill(~useful[name], -1), sizes[name].masked_fill(~stays, -1)
            order = ranks(growth, first=size)
            entries[name] = evenly(order, salient[name], alive[name], total).view(kept.shape)
        return Mask(entries)


def ranks(scores: Tensor, first: Tensor | None = None) -> Tensor:
    """Return (neurons, fan-in) int64: a weight's place in its neuron by ``first``, where that ties by ``scores``."""
    order = scores.flatten(1).argsort(dim=1, descending=True, stable=True)
    if first is not None:
        order = order.gather(1, first.flatten(1).gather(1, order).argsort(dim=1, descending=True, stable=True))
    return order.argsort(1)


def neurons_kept(kept: Tensor, salient: Tensor, useful: Tensor, share: float) -> Tensor:
    """Return (neurons,) bool: those with at least ``share`` times the fan-in of salient weights.

    As many of the best stay as it takes to hold all weights of the layer in ``useful`` places.
    """
    total, neurons = int(kept.count_nonzero()), int(kept.flatten(1).any(1).count_nonzero())
    counts, room = salient.flatten(1).sum(1), int(useful[0].count_nonzero())
    needed = highest(counts, torch.ones_like(counts, dtype=torch.bool), -(-total // max(room, 1)))
    return needed | (counts >= share * total / max(neurons, 1))


def evenly(order: Tensor, salient: Tensor, alive: Tensor, total: int) -> Tensor:
    """Return (neurons * fan-in,) bool: ``total`` weights, the first of each neuron that is alive, as many for each.

    One more have those with the most salient weights.
    """
    counts = salient.flatten(1).sum(1, keepdim=True)
    scores = counts - order * (1 + order.shape[1])
    return highest(scores.flatten(), alive[:, None].expand_as(order).flatten(), total)


def without_constants(model: nn.Module, alive: Mapping[str, Tensor], mask: Mask) -> dict[str, Tensor]:
    """Return the places of weights that do not read ablated neurons, bool, of the weights' shapes.

    A channel is a constant if all layers that write it have ablated it. Where the network cannot be traced none is.
    """
    found = {name: torch.ones_like(kept) for name, kept in mask.items()}
    try:
        graph = channel_graph(model)
    except UsageError:
        return found
    live = {}
    for group in graph.sizes.keys() - graph.whole:
        writers = [alive.get(f"{name}.weight") for name in graph.writers(group)]
        there = [neurons for neurons in writers if neurons is not None]
        if there and len(there) == len(writers):
            live[group] = torch.stack(there).any(0)
    for layer in graph.layers:
        places = found.get(f"{layer.name}.weight")
        if layer.reads in live and layer.blocks == 1 and places is not None:
            channels = live[layer.reads].repeat_interleave(places.shape[1] // graph.sizes[layer.reads])
            places &= channels.view(1, -1, *(1 for _ in places.shape[2:]))
    return found
