"""Which channels a subnetwork needs."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pruning.graph import ChannelGraph

Kept = dict[int, Tensor]
"""For each group of channels, (channels,) bool: which stay."""


def kept_channels(graph: ChannelGraph, mask: Mapping[str, Tensor], round_to: int) -> Kept:
    """The channels to keep: those that can influence the output, and as many more as make the widths round.

    A channel matters if a kept weight leads from it to a channel that matters; otherwise neither its value gets to
    the output nor a gradient to it. (Kept weights *into* it are not needed: BatchNorm's shift is influence enough.)
    Those kept for the sake of a round width are asked for the same, so that no kept weight leads from a channel
    taken out to one that stays, whose statistics then stay right, too.

    Args:
        graph: the channels of the model.
        mask: which weights are kept, by parameter name.
        round_to: widths are multiples of it, or whole; at least one channel is kept.
    """
    connections = {
        layer.name: connected(mask[f"{layer.name}.weight"].cpu(), graph.sizes[layer.reads])
        for layer in graph.layers
        if layer.reads is not None
    }
    kept = {group: torch.full((size,), group in graph.pinned) for group, size in graph.sizes.items()}
    spread(graph, connections, kept)
    while any(widen(graph, connections, kept, group, round_to) for group in kept):
        spread(graph, connections, kept)
    return kept


def connected(mask: Tensor, channels: int) -> Tensor:
    """(outputs, channels) bool: which input channels a kept weight leads from; a channel may have several inputs."""
    return mask.reshape(len(mask), channels, -1).any(2)


def spread(graph: ChannelGraph, connections: Mapping[str, Tensor], kept: Kept) -> None:
    """Keeps whatever leads to a channel that is kept, until nothing new is found."""
    found = True
    while found:
        found = False
        for layer in reversed(graph.layers):
            if layer.reads is not None:
                needed = connections[layer.name][kept[layer.writes]].any(0) & ~kept[layer.reads]
                kept[layer.reads] |= needed
                found |= bool(needed.any())


def widen(graph: ChannelGraph, connections: Mapping[str, Tensor], kept: Kept, group: int, round_to: int) -> bool:
    """Rounds a group's width up; whether anything was to do. First come channels that need no others kept."""
    size, width = graph.sizes[group], int(kept[group].sum())
    missing = min(size, -(-max(width, 1) // round_to) * round_to) - width
    if missing == 0:
        return False
    needs = torch.zeros(size, dtype=torch.int64)
    for layer in graph.layers:
        if layer.writes == group and layer.reads is not None:
            needs += (connections[layer.name] & ~kept[layer.reads]).sum(1)
    needs[kept[group]] = torch.iinfo(torch.int64).max
    kept[group][needs.argsort(stable=True)[:missing]] = True
    return True
