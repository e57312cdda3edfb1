"""Groups of channels, and the layers and tensors that they run through."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
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


class GraphBuilder:
    """Collects groups of channels while a forward pass is followed; groups that turn out to be one are joined.

    Attributes are as those of :class:`ChannelGraph`, ``pinned`` and ``whole`` with the reason.

    Args:
        unseen: the layers that may come, and the numbers of their output channels.
    """

    def __init__(self, unseen: dict[str, int]) -> None:
        self.unseen = unseen
        self.sizes: list[int] = []
        self.leaders: list[int] = []
        self.pinned: dict[int, str] = {}
        self.whole: dict[int, str] = {}
        self.output: set[int] = set()
        self.blocks: list[tuple[int, int, str]] = []
        self.ties: list[tuple[int | None, int]] = []
        self.layers: list[Layer] = []
        self.norms: dict[str, int] = {}
        self.axes: list[Axis] = []
        self.axes_of_norms: list[Axis] = []

    def add_layer(self, name: str, size: int, reads: int | None, writes: int | None = None, blocks: int = 1) -> int:
        """Add a layer with ``size`` output channels; return the group ``writes``, by default a new one."""
        if writes is None:
            writes = len(self.sizes)
            self.sizes.append(size)
            self.leaders.append(writes)
        self.layers.append(Layer(name, reads, writes, blocks))
        self.unseen.pop(name, None)
        self.axes += [Axis(f"{name}.weight", 0, writes), Axis(f"{name}.bias", 0, writes)]
        if reads is not None and reads != writes:
            self.axes.append(Axis(f"{name}.weight", 1, reads, blocks))
        return writes

    def add_grouped(self, name: str, size: int, reads: int | None, blocks: int) -> int:
        """Add a grouped convolution; return the group that it writes."""
        written = self.add_layer(name, size, reads, blocks=blocks)
        for group in (written,) if reads is None else (reads, written):
            self.blocks.append((group, blocks, name))
            self.whole.setdefault(group, name)
        self.ties.append((reads, written))
        return written

    def add_axes(self, norm: str, group: int, *tensors: str) -> None:
        self.axes_of_norms += [Axis(f"{norm}.{tensor}", 0, group) for tensor in tensors]

    def join(self, one: int, other: int) -> None:
        self.leaders[self.leader(other)] = self.leader(one)

    def leader(self, group: int) -> int:
        """Return the number of the group that a group has become part of."""
        while self.leaders[group] != group:
            group = self.leaders[group]
        return group

    def graph(self) -> ChannelGraph:
        """Return what was found; of groups that have turned out to be one, only the leader remains."""
        leader = self.leader
        sizes = {group: size for group, size in enumerate(self.sizes) if leader(group) == group}
        pinned = {leader(group): why for group, why in self.pinned.items()}
        blocks: dict[int, int] = {}
        for group, count, why in self.blocks:
            if blocks.setdefault(leader(group), count) != count:
                pinned.setdefault(leader(group), why)  # two divisions of the same channels
        ties = self.merged_ties(set(pinned))
        for held in (group for tie in ties if None in tie for group in tie if group is not None):
            if blocks[held] == sizes[held]:
                pinned.setdefault(held, "a grouped convolution")  # each channel is a block that does not move
        whole = {**{leader(group): why for group, why in self.whole.items()}, **pinned}
        return ChannelGraph(
            sizes=sizes,
            pinned=set(pinned),
            layers=[
                replace(one, reads=None if one.reads is None else leader(one.reads), writes=leader(one.writes))
                for one in self.layers
            ],
            norms={name: leader(group) for name, group in self.norms.items()},
            whole=set(whole),
            axes=[axis._replace(group=leader(axis.group)) for axis in [*self.axes, *self.axes_of_norms]],
            blocks={group: count for group, count in blocks.items() if count > 1},
            ties=ties,
            output={leader(group) for group in self.output},
            reasons=whole,
            unseen=self.unseen,
        )

    def merged_ties(self, pinned: set[int]) -> list[set[int | None]]:
        """Return groups whose blocks move together; None stands for what does not move: pinned groups and the input."""
        ties: list[set[int | None]] = []
        for one, other in self.ties:
            found = {None if group is None or self.leader(group) in pinned else self.leader(group)
                     for group in (one, other)}  # fmt: skip
            for tie in [tie for tie in ties if (tie & found) - {None}]:
                ties.remove(tie)
                found |= tie
            if found != {None}:
                ties.append(found)
        return ties
