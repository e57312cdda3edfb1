"""Permuting the channels of one network so that its weights come close to another's.

Hidden channels have no order: a network whose channels are permuted, layer by layer consistently, computes the same
function. Two networks may therefore be apart only because corresponding channels stand in other places (Ainsworth et
al. 2022, arXiv 2209.04836). Which channels must move together, residual streams included, is the channel graph's
business (``pruning.graph``).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from pruning.graph import ChannelGraph

Tensors = Mapping[str, Tensor]
Permutations = Mapping[int, Tensor]
"""For groups of channels, (channels,) int64: from which place each channel comes. Other groups stay as they are."""

SMALLEST_GAIN = 1e-12
"""Of the inner product, as a share of the product of the two norms; what is below may be rounding."""


class Axis(NamedTuple):
    """An axis of a tensor along which the channels of a group lie."""

    tensor: str
    number: int
    """0 or 1."""
    group: int


def permuted(tensors: Tensors, graph: ChannelGraph, permutations: Permutations) -> dict[str, Tensor]:
    """The same network, or its mask, with channels in another order; what is not permuted is not copied.

    Weights, biases, and all that BatchNorm holds for a channel move along.

    Args:
        tensors: by name, all of a network or some, such as the weights that a mask has.
        graph: the network's channels.
        permutations: by group.
    """
    result = dict(tensors)
    for name, number, group in [*parameters(graph), *statistics(graph)]:
        if name in result and group in permutations:
            result[name] = reordered(result[name], number, permutations[group])
    return result


def match(graph: ChannelGraph, first: Tensors, second: Tensors, generator: torch.Generator) -> Permutations:
    """Weight matching: permutations of ``second`` that bring its parameters close to those of ``first``.

    They maximize the inner product of the two networks' parameters, and so minimize their L2 distance (Ainsworth et
    al. 2022, section 3.2): ``argmax over P of sum_l <W_l, P_l V_l P_(l-1)^T>``. With the permutations of all other
    groups held, that of one group is a linear assignment problem, solved exactly; groups are visited in random order
    until none changes any more. This finds a local optimum. It is begun twice: from the channels as they are, so that
    the result is never further away than that, and from permutations found by one pass from the input to the output,
    each from the layers that are decided already, which finds a permuted copy for certain. The better one is taken,
    of two alike the first.

    Args:
        graph: the channels of both networks.
        first: the network that stays.
        second: the network that is permuted.
        generator: draws the orders.

    Returns:
        A permutation for each group that is not pinned; identities if a weight is not finite.
    """
    groups = [group for group in graph.sizes if group not in graph.pinned]
    used = {axis.tensor for axis in parameters(graph)} & first.keys()
    if not all(tensors[name].isfinite().all() for tensors in (first, second) for name in used):
        return {group: torch.arange(graph.sizes[group]) for group in groups}
    from_identity, from_input = (_Matching(graph, first, second) for _ in range(2))
    from_input.pass_forward()
    for matching in (from_identity, from_input):
        matching.descend(groups, generator)
    return max(from_identity, from_input, key=lambda matching: matching.inner_product(used)).permutations


def share_moved(permutations: Permutations) -> float:
    """The share of the channels that come to stand in another place."""
    moved = sum(int((order != torch.arange(len(order))).sum()) for order in permutations.values())
    return moved / max(1, sum(map(len, permutations.values())))


class _Matching:
    """A network on its way to another: its parameters as they are permuted so far."""

    def __init__(self, graph: ChannelGraph, first: Tensors, second: Tensors) -> None:
        self.graph = graph
        self.axes = [axis for axis in parameters(graph) if axis.tensor in first]
        names = {axis.tensor for axis in self.axes}
        self.first, self.current = ({name: one[name].cpu().double() for name in names} for one in (first, second))
        norms = (torch.stack([tensor.norm() for tensor in one.values()]).norm() for one in (self.first, self.current))
        self.tolerance = SMALLEST_GAIN * float(torch.stack(list(norms)).prod()) if names else 0.0
        self.permutations = {group: torch.arange(size) for group, size in graph.sizes.items()
                             if group not in graph.pinned}  # fmt: skip

    def pass_forward(self) -> None:
        """Permutes each group by what lies between it and groups that are decided: pinned, or earlier in the network.

        The weights that read a network's input, whose channels have an order, decide the first one.
        """
        decided = set(self.graph.pinned)
        for group in dict.fromkeys(layer.writes for layer in self.graph.layers):
            if group not in decided:
                self.move(group, self.assignment(group, decided))
                decided.add(group)

    def descend(self, groups: Collection[int], generator: torch.Generator) -> None:
        """Permutes group after group where that raises the inner product, until no group changes."""
        order, changed = list(groups), True
        while changed:
            changed = False
            for place in torch.randperm(len(order), generator=generator).tolist():
                changed |= self.improve(order[place])

    def improve(self, group: int) -> bool:
        """Permutes a group as well as can be if that is better than before; whether it was."""
        touched = {axis.tensor for axis in self.axes if axis.group == group}
        before = self.inner_product(touched)
        order = self.assignment(group, self.graph.sizes.keys())
        self.move(group, order)
        if self.inner_product(touched) > before + self.tolerance:
            return True
        self.move(group, order.argsort())
        return False

    def assignment(self, group: int, decided: Collection[int]) -> Tensor:
        """The order of a group's channels with the largest sum of similarities to those of the first network."""
        from scipy.optimize import linear_sum_assignment

        _, order = linear_sum_assignment(self.similarity(group, decided).numpy(), maximize=True)
        return torch.from_numpy(order)

    def similarity(self, group: int, decided: Collection[int]) -> Tensor:
        """(channels, channels): the inner products of what belongs to each channel of the first and of this network.

        Weights whose other channels belong to a group that is not decided are left out.
        """
        size = self.graph.sizes[group]
        total = torch.zeros(size, size, dtype=torch.float64)
        for name, number, own in self.axes:
            others = {axis.group for axis in self.axes if axis.tensor == name and axis.number != number}
            if own == group and others <= {group, *decided}:
                total += rows(self.first[name], number, size) @ rows(self.current[name], number, size).T
        return total

    def move(self, group: int, order: Tensor) -> None:
        """Puts the channels of a group in another order."""
        for name, number, own in self.axes:
            if own == group:
                self.current[name] = reordered(self.current[name], number, order)
        self.permutations[group] = self.permutations[group][order]

    def inner_product(self, names: Collection[str]) -> float:
        """That of the two networks' tensors of these names."""
        return sum(float((self.first[name] * self.current[name]).sum()) for name in sorted(names))


# Where channels lie --------------------------------------------------------------------------------------------------


def parameters(graph: ChannelGraph) -> Iterator[Axis]:
    """Where the channels of groups lie in parameters. Not every layer has a bias."""
    for layer in graph.layers:
        yield Axis(f"{layer.name}.weight", 0, layer.writes)
        yield Axis(f"{layer.name}.bias", 0, layer.writes)
        if layer.reads is not None:
            yield Axis(f"{layer.name}.weight", 1, layer.reads)
    for name, group in graph.norms.items():
        yield Axis(f"{name}.weight", 0, group)
        yield Axis(f"{name}.bias", 0, group)


def statistics(graph: ChannelGraph) -> Iterator[Axis]:
    """Where they lie in what BatchNorm has measured."""
    for name, group in graph.norms.items():
        yield Axis(f"{name}.running_mean", 0, group)
        yield Axis(f"{name}.running_var", 0, group)


def reordered(tensor: Tensor, axis: int, order: Tensor) -> Tensor:
    """A tensor with its channels in another order; a channel may have several places along the axis 1 (flattened)."""
    if axis == 0:
        return tensor[order.to(tensor.device)]
    channels = tensor.reshape(len(tensor), len(order), -1)
    return channels[:, order.to(tensor.device)].reshape(tensor.shape)


def rows(tensor: Tensor, axis: int, channels: int) -> Tensor:
    """(channels, ...): a row for each channel with all that belongs to it."""
    if axis == 0:
        return tensor.reshape(channels, -1)
    return tensor.reshape(len(tensor), channels, -1).transpose(0, 1).reshape(channels, -1)
