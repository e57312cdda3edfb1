"""Groups of channels, and the layers and tensors that they run through."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


def places_of(channels: Tensor, count: int) -> Tensor:
    """Return the places of channels, or blocks of channels, that have ``count`` neighbouring places each."""
    return (channels[:, None] * count + torch.arange(count, device=channels.device)).flatten()


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer, by the groups of its input and output channels.

    Args:
        name: the module's name.
        reads: the group of its input channels; None for the network's input, whose channels belong to no layer.
        writes: the group of its output channels; that of the input for a depthwise convolution.
        blocks: of a grouped convolution, the number of its groups: each reads and writes channels of its own.
    """

    name: str
    reads: int | None
    writes: int
    blocks: int = 1


class Axis(NamedTuple):
    """An axis of a tensor along which the channels of a group lie.

    A channel has several places along the axis if a layer reads it flattened: they are neighbours.
    """

    tensor: str
    number: int
    group: int
    blocks: int = 1
    """Of a grouped convolution: its axis 1 has the places of one block of channels, which each block of rows reads
    as its own."""


@dataclass(frozen=True)
class ChannelGraph:
    """Groups of channels that go together, such as all those that are added up in one residual stream.

    The channels of a group that is not ``pinned`` may be put in another order, those of one that is not ``whole`` may
    also be taken out, without a change of the function that the network computes.

    Args:
        sizes: the number of channels of each group.
        pinned: groups that stay whole and in order: the network's output, and those that meet an operation of which
            it is not known that it treats each channel by itself, or all alike.
        layers: the convolutions and linear layers that read or write groups.
        norms: BatchNorm and InstanceNorm layers, by name, and their groups.
        whole: groups that stay whole: those pinned, and those that meet dropout (a smaller network would draw other
            random numbers), a norm over several channels or a grouped convolution.
        axes: where the channels of groups lie in parameters and buffers.
        blocks: the number of blocks of a group whose channels change places only with others of their block, or
            together with it: those that a GroupNorm or a grouped convolution takes together.
        ties: groups whose blocks move only together, as a grouped convolution's input and output. None among them
            stands for blocks that do not move.
        output: the groups of the network's output.
        reasons: the first operation that pins or holds a group whole, by group.
        unseen: convolutions and linear layers of no group, by name, and the number of their output channels: their
            weights are used in other ways than by one call of the layer.
    """

    sizes: dict[int, int]
    pinned: set[int]
    layers: list[Layer]
    norms: dict[str, int]
    whole: set[int] = field(default_factory=set)
    axes: list[Axis] = field(default_factory=list)
    blocks: dict[int, int] = field(default_factory=dict)
    ties: list[set[int | None]] = field(default_factory=list)
    output: set[int] = field(default_factory=set)
    reasons: dict[int, str] = field(default_factory=dict)
    unseen: dict[str, int] = field(default_factory=dict)

    def channels_outside(self, held: Collection[int]) -> tuple[int, int]:
        """Return the numbers of hidden channels in groups that are not ``held``, and of all hidden channels."""
        hidden = {group: size for group, size in self.sizes.items() if group not in self.output}
        total = sum(hidden.values()) + sum(self.unseen.values())
        return sum(size for group, size in hidden.items() if group not in held), total

    def writers(self, group: int) -> list[str]:
        return [layer.name for layer in self.layers if layer.writes == group]

    def why(self, held: Collection[int]) -> str:
        """Return what holds hidden channels of the groups ``held``: modules, functions, methods; at most five."""
        held_by = [self.reasons[group] for group in sorted(held) if group not in self.output]
        names = list(dict.fromkeys([*held_by, *self.unseen]))
        return ", ".join([*names[:5], *([f"{len(names) - 5} more"] if len(names) > 5 else [])])

    def tied(self, group: int) -> set[int | None]:
        """Return the other groups whose blocks move together with those of ``group``."""
        return {other for tie in self.ties if group in tie for other in tie} - {group}

    def in_blocks(self, group: int, order: Tensor) -> dict[int, Tensor]:
        """Return ``order`` for ``group``, and for each group tied to it the order in which its blocks go along."""
        count = self.blocks.get(group, 1)
        blocks = order[:: self.sizes[group] // count] // (self.sizes[group] // count)
        along = [] if blocks.equal(torch.arange(count)) else [other for other in self.tied(group) if other is not None]
        return {group: order, **{other: places_of(blocks, self.sizes[other] // count) for other in along}}

    def random_orders(self, generator: torch.Generator) -> dict[int, Tensor]:
        """Return a random order of the channels of every group that is not pinned: from which place each comes."""
        orders: dict[int, Tensor] = {}
        for group, size in self.sizes.items():
            if group not in self.pinned:
                count = self.blocks.get(group, 1)
                within = [torch.randperm(size // count, generator=generator) for _ in range(count)]
                orders[group] = torch.cat([block * (size // count) + order for block, order in enumerate(within)])
        untied: list[set[int | None]] = [{one} for one in self.blocks if one in orders and not self.tied(one)]
        for tie in [*untied, *self.ties]:
            groups = sorted(group for group in tie if group is not None)
            if None not in tie:
                blocks = torch.randperm(self.blocks[groups[0]], generator=generator)
                for group in groups:
                    orders[group] = orders[group][places_of(blocks, self.sizes[group] // len(blocks))]
        return orders
