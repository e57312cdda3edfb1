"""Permuting the channels of one network so that its weights come close to another's.

Hidden channels have no order: a network whose channels are permuted, layer by layer consistently, computes the same
function. Two networks may therefore be apart only because corresponding channels stand in other places (Ainsworth et
al. 2022, arXiv 2209.04836). Which channels must move together, residual streams included, is the channel graph's
business (``pruning.graph``).
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from foundations.context import Context
from foundations.errors import UsageError
from models import ImageShape
from pruning.channels import Axis, ChannelGraph, places_of
from pruning.graph import channel_graph
from pruning.same_function import example_of, perturbed, same_function

Tensors = Mapping[str, Tensor]
Permutations = Mapping[int, Tensor]
"""For groups of channels, (channels,) int64: from which place each channel comes. Other groups stay as they are."""

STATISTICS = (".running_mean", ".running_var")
SMALLEST_GAIN = 1e-12
"""Of the inner product, as a share of the product of the two norms; what is below may be rounding."""


def check_alignable(model: nn.Module, shape: ImageShape, context: Context, flag: str = "--align") -> None:
    """Say, once, how many channels ``flag`` may move, before anything is trained.

    The network with all of them in random order is compared with the network itself.

    Raises:
        UsageError: no channel can move, the two networks compute other functions, or the model cannot be traced.
    """
    graph, name, leave = alignable_graph(model, flag), type(model).__name__, "leave the flag out"
    movable, hidden = graph.channels_outside(graph.pinned)
    if not movable:
        held = f": {why} must have theirs in order" if (why := graph.why(graph.pinned)) else ""
        raise UsageError(f"{flag}: none of the {hidden} hidden channels of {name} can move{held}; {leave}")
    if moved := layers_that_differ(model, graph, example_of(shape.channels, shape.height, shape.width)):
        raise UsageError(f"{flag}: {name} with the channels of {moved} in another order is another function; {leave}")
    if (check_alignable, name) not in context.reported:
        context.reported.add((check_alignable, name))
        context.reporter.say(f"{flag}: {movable} of the {hidden} hidden channels of {name} can move")


def layers_that_differ(model: nn.Module, graph: ChannelGraph, example: Tensor) -> str:
    """Return the layers whose channels cannot be permuted without a change of the function; empty if all can."""
    orders, tensors = graph.random_orders(torch.Generator().manual_seed(0)), perturbed(model.state_dict())

    def same(some: Permutations) -> bool:
        return same_function(model, tensors, model, permuted(tensors, graph, some), example)

    if same(orders):
        return ""
    together = [{group, *graph.tied(group)} for group in orders]
    wrong = [groups for groups in together if not same({group: orders[group] for group in groups if group in orders})]
    return ", ".join(dict.fromkeys(name for groups in wrong or together for group in groups if group is not None
                                   for name in graph.writers(group)))  # fmt: skip


def alignable_graph(model: nn.Module, flag: str = "--align") -> ChannelGraph:
    """Return the model's channel graph; raise ``UsageError`` if ``flag`` cannot have one."""
    try:
        return channel_graph(model)
    except UsageError as error:
        raise UsageError(f"{flag}: {error}; leave the flag out") from error


def permuted(tensors: Tensors, graph: ChannelGraph, permutations: Permutations) -> dict[str, Tensor]:
    """The same network, or its mask, with channels in another order; what is not permuted is not copied.

    Weights, biases, and all that norms hold for a channel move along.

    Args:
        tensors: by name, all of a network or some, such as the weights that a mask has.
        graph: the network's channels.
        permutations: by group.
    """
    result = dict(tensors)
    for axis in graph.axes:
        if axis.tensor in result and axis.group in permutations:
            result[axis.tensor] = reordered(result[axis.tensor], axis, permutations[axis.group])
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
        first: the network that stays; its parameters are compared, statistics are not.
        second: the network that is permuted.
        generator: draws the orders.

    Returns:
        A permutation for each group that is not pinned; identities if a weight is not finite.
    """
    groups = [group for group in graph.sizes if group not in graph.pinned]
    used = {axis.tensor for axis in compared(graph, first)}
    if not all(tensors[name].isfinite().all() for tensors in (first, second) for name in used):
        return {group: torch.arange(graph.sizes[group]) for group in groups}
    from_identity, from_input = (Matching(graph, first, second) for _ in range(2))
    from_input.pass_forward()
    for matching in (from_identity, from_input):
        matching.descend(groups, generator)
    return max(from_identity, from_input, key=lambda matching: matching.inner_product(used)).permutations


def share_moved(permutations: Permutations) -> float:
    """Return the share of the channels that end in another place."""
    moved = sum(int((order != torch.arange(len(order))).sum()) for order in permutations.values())
    return moved / max(1, sum(map(len, permutations.values())))


class Matching:
    """A network on its way to another: its parameters as they are permuted so far, similar by what they are."""

    def __init__(self, graph: ChannelGraph, first: Tensors, second: Tensors) -> None:
        self.graph = graph
        self.axes = compared(graph, first)
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
        """Permute group after group where that raises the inner product, until no group changes."""
        order, changed = list(groups), True
        while changed:
            changed = False
            for place in torch.randperm(len(order), generator=generator).tolist():
                changed |= self.improve(order[place])

    def improve(self, group: int) -> bool:
        """Permute a group as well as possible; return whether that is better than before."""
        touched = {axis.tensor for axis in self.axes if axis.group == group}
        before = self.inner_product(touched)
        order = self.assignment(group, self.graph.sizes.keys())
        self.move(group, order)
        if self.inner_product(touched) > before + self.tolerance:
            return True
        self.move(group, order.argsort())
        return False

    def assignment(self, group: int, decided: Collection[int]) -> Tensor:
        """Return the order with the largest sum of similarities, (channels, channels)."""
        similarity, blocks = self.similarity(group, decided), self.graph.blocks.get(group, 1)
        held = any(other is None or other in decided for other in self.graph.tied(group))
        if blocks == 1 or (blocks == len(similarity) and not held):
            return assignment(similarity)
        return block_assignment(similarity, blocks, in_place=held)

    def similarity(self, group: int, decided: Collection[int]) -> Tensor:
        """(channels, channels): the inner products of what belongs to each channel of the first and of this network.

        Weights whose other channels belong to a group that is not decided are left out.
        """
        size = self.graph.sizes[group]
        total = torch.zeros(size, size, dtype=torch.float64)
        for axis in self.axes:
            others = {one.group for one in self.axes if one.tensor == axis.tensor and one.number != axis.number}
            if axis.group == group and others <= {group, *decided}:
                first, current = self.first[axis.tensor], self.current[axis.tensor]
                total += rows(first, axis, size) @ rows(current, axis, size).T
        return total

    def move(self, group: int, order: Tensor) -> None:
        """Put the channels of a group in another order; blocks of groups tied to it go along."""
        orders = self.graph.in_blocks(group, order)
        for axis in self.axes:
            if axis.group in orders:
                self.current[axis.tensor] = reordered(self.current[axis.tensor], axis, orders[axis.group])
        for one, its_order in orders.items():
            self.permutations[one] = self.permutations[one][its_order]

    def inner_product(self, names: Collection[str]) -> float:
        return sum(float((self.first[name] * self.current[name]).sum()) for name in sorted(names))


# Where channels lie --------------------------------------------------------------------------------------------------


def compared(graph: ChannelGraph, tensors: Tensors) -> list[Axis]:
    """Return the axes of the parameters among ``tensors``; not every layer has a bias."""
    return [axis for axis in graph.axes if axis.tensor in tensors and not axis.tensor.endswith(STATISTICS)]


def reordered(tensor: Tensor, axis: Axis, order: Tensor) -> Tensor:
    """Return a tensor with its channels in another order; flattened, a channel has several places along the axis."""
    order = order.to(tensor.device)
    if axis.blocks > 1:  # each block of rows reads its own block of channels
        size = len(order) // axis.blocks
        blocks = zip(tensor.chunk(axis.blocks), order.reshape(axis.blocks, size) % size, strict=True)
        return torch.cat([rows_of_block.index_select(axis.number, within) for rows_of_block, within in blocks])
    return tensor.index_select(axis.number, places_of(order, tensor.shape[axis.number] // len(order)))


def rows(tensor: Tensor, axis: Axis, channels: int) -> Tensor:
    """Return (channels, ...), a row with all that belongs to each channel."""
    if axis.number == 0:
        return tensor.reshape(channels, -1)
    blocks = tensor.reshape(axis.blocks, len(tensor) // axis.blocks, channels // axis.blocks, -1)
    return blocks.transpose(1, 2).reshape(channels, -1)


def block_assignment(similarity: Tensor, blocks: int, *, in_place: bool) -> Tensor:
    """The order with the largest sum of similarities that keeps blocks of channels together.

    Args:
        similarity: (channels, channels).
        blocks: their number.
        in_place: channels only change places within their block; else blocks may, too. Then the best order of every
            block in the place of every other decides where each goes.
    """
    size = len(similarity) // blocks
    parts = similarity.reshape(blocks, size, blocks, size).transpose(1, 2)
    if in_place:
        return torch.cat([block * size + assignment(parts[block, block]) for block in range(blocks)])
    orders = [[assignment(part) for part in row] for row in parts]
    values = [[part[torch.arange(size), order].sum() for part, order in zip(*both, strict=True)]
              for both in zip(parts, orders, strict=True)]  # fmt: skip
    chosen = assignment(torch.tensor(values)).tolist()
    return torch.cat([other * size + orders[block][other] for block, other in enumerate(chosen)])


def assignment(similarity: Tensor) -> Tensor:
    """Return the order with the largest sum of similarities, (channels, channels)."""
    from scipy.optimize import linear_sum_assignment

    _, order = linear_sum_assignment(similarity.numpy(), maximize=True)
    return torch.from_numpy(order)
