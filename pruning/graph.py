"""Which layers of a network share their channels, found from its forward pass."""

import operator
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn

from foundations.errors import UsageError


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer, by the groups of its input and output channels.

    Args:
        name: the module's name.
        reads: the group of its input channels; None for the network's input, whose channels belong to no layer.
        writes: the group of its output channels.
    """

    name: str
    reads: int | None
    writes: int


@dataclass(frozen=True)
class ChannelGraph:
    """Groups of channels that go together, such as all those that are added up in one residual stream.

    Args:
        sizes: the number of channels of each group.
        pinned: groups that stay whole and in order: the network's output, and those that meet an operation of which
            it is not known that it treats each channel by itself.
        layers: the convolutions and linear layers that read or write groups.
        norms: BatchNorm layers, by name, and their groups.
    """

    sizes: dict[int, int]
    pinned: set[int]
    layers: list[Layer]
    norms: dict[str, int]


CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

# Those that draw no random numbers: dropout would draw others in a smaller network.
ELEMENTWISE = {
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Hardtanh,
    F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardtanh, torch.relu, torch.tanh, torch.sigmoid,
    "relu", "relu_", "tanh", "sigmoid", "contiguous",
}  # fmt: skip
POOLINGS = {
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    F.max_pool1d, F.max_pool2d, F.max_pool3d, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d,
    F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
}  # fmt: skip
SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
FLATTENINGS = {nn.Flatten, torch.flatten, "flatten"}
VIEWS = {torch.reshape, "view", "reshape"}


def flattens(operation: Any, node: fx.Node, module: nn.Module | None) -> bool:
    """Whether this leaves the axis of the examples alone and makes one of all others."""
    if operation in FLATTENINGS:
        if isinstance(module, nn.Flatten):
            return (module.start_dim, module.end_dim) == (1, -1)
        return (node.args[1:], node.kwargs) in [((1,), {}), ((), {"start_dim": 1})]
    return operation in VIEWS and reads_batch_size(node.args[1]) and node.args[2:] == (-1,)  # x.view(x.size(0), -1)


def reads_batch_size(argument: Any) -> bool:
    """Whether this is ``x.size(0)``."""
    return isinstance(argument, fx.Node) and argument.target == "size" and argument.args[1:] == (0,)


class Channels(NamedTuple):
    """What is known of a tensor: (N, channels, ...) or, where flat, (N, channels * positions).

    ``group`` is None for the network's input, whose channels belong to no layer.
    """

    group: int | None
    flat: bool


def channel_graph(model: nn.Module) -> ChannelGraph:
    """The channels of a model that takes (N, channels, height, width).

    Raises:
        UsageError: the model cannot be traced, since its forward pass depends on more than shapes. The text is the
            model's class and the reason, ``Net cannot be traced (...)``.
    """
    try:
        traced = fx.symbolic_trace(model)
    except Exception as error:  # anything may go wrong in a forward method that gets symbols for tensors
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"{type(model).__name__} cannot be traced ({reason})") from error
    return _Tracer(model, traced.graph).result()


class _Tracer:
    """Follows channels from operation to operation; one without a rule pins those that it reads."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self.modules = dict(model.named_modules())
        self.calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
        self.owners = Counter(
            id(parameter) for module in model.modules() for parameter in module.parameters(recurse=False)
        )
        self.sizes: list[int] = []
        self.leaders: list[int] = []
        self.pinned: set[int] = set()
        self.layers: list[Layer] = []
        self.norms: dict[str, int] = {}
        self.values: dict[fx.Node, Channels | None] = {}
        for node in graph.nodes:
            read = [self.values[argument] for argument in node.all_input_nodes]
            self.values[node] = written = self.follow(node, read)
            if written is None and not reads_batch_size(node):
                self.pinned |= {value.group for value in read if value is not None and value.group is not None}

    def result(self) -> ChannelGraph:
        """What was found; of groups that have turned out to be one, only the leader remains."""
        leader = self.leader
        return ChannelGraph(
            sizes={group: size for group, size in enumerate(self.sizes) if leader(group) == group},
            pinned={leader(group) for group in self.pinned},
            layers=[
                Layer(layer.name, None if layer.reads is None else leader(layer.reads), leader(layer.writes))
                for layer in self.layers
            ],
            norms={name: leader(group) for name, group in self.norms.items()},
        )

    def follow(self, node: fx.Node, read: list[Channels | None]) -> Channels | None:
        """The channels of an operation's output; None if nothing is known of them."""
        if node.op == "placeholder":
            return Channels(None, flat=False)
        if node.op not in ("call_module", "call_function", "call_method") or not read:
            return None
        first, module = read[0], None
        operation: Any = node.target
        if node.op == "call_module":
            module = self.modules[str(node.target)]
            operation = type(module) if self.plain(str(node.target)) else None  # a subclass may do anything
        if module is not None and operation in CONVOLUTIONS:
            return self.convolution(str(node.target), module, first)
        if first is None:
            return None
        if module is not None and operation is nn.Linear:
            return self.linear(str(node.target), module, first)
        if module is not None and operation in BATCHNORMS:
            return self.norm(str(node.target), module, first)
        if operation in SUMS:
            return self.sum(node, read)
        if operation in ELEMENTWISE:
            return first if len(read) == 1 else None
        if operation in POOLINGS:
            return first if len(read) == 1 and not first.flat else None
        if flattens(operation, node, module):
            return Channels(first.group, flat=True)
        return None

    def plain(self, name: str) -> bool:
        """Whether a module shares no parameter and has nothing hooked into it; if it holds tensors, it is used once."""
        module = self.modules[name]
        shared = any(self.owners[id(parameter)] > 1 for parameter in module.parameters())
        again = self.calls[name] > 1 and bool([*module.parameters(), *module.buffers()])
        return not shared and not again and not module._forward_hooks and not module._forward_pre_hooks

    def convolution(self, name: str, module: nn.Module, read: Channels | None) -> Channels | None:
        assert isinstance(module, CONVOLUTIONS)
        if module.groups != 1 or not isinstance(module.weight, nn.Parameter) or (read is not None and read.flat):
            return None
        return self.layer(name, read, module.out_channels, flat=False)

    def linear(self, name: str, module: nn.Module, read: Channels) -> Channels | None:
        assert isinstance(module, nn.Linear)
        # On (N, channels, ...) it would work along another axis.
        return self.layer(name, read, module.out_features, flat=True) if read.flat else None

    def layer(self, name: str, read: Channels | None, size: int, *, flat: bool) -> Channels:
        group = len(self.sizes)
        self.sizes.append(size)
        self.leaders.append(group)
        self.layers.append(Layer(name, None if read is None else read.group, group))
        return Channels(group, flat)

    def norm(self, name: str, module: nn.Module, read: Channels) -> Channels | None:
        assert isinstance(module, BATCHNORMS)
        if read.group is None or module.num_features != self.sizes[read.group]:
            return None
        self.norms[name] = read.group
        return read

    def sum(self, node: fx.Node, read: list[Channels | None]) -> Channels | None:
        """Two tensors added channel by channel: from here on their groups are one."""
        first, second = read[0], read[-1]
        if first is None or second is None or first.group is None or second.group is None or node.kwargs:
            return None
        tensors = all(isinstance(argument, fx.Node) for argument in node.args)
        if not tensors or first.flat != second.flat or self.sizes[first.group] != self.sizes[second.group]:
            return None
        self.leaders[self.leader(second.group)] = self.leader(first.group)
        return first

    def leader(self, group: int) -> int:
        while self.leaders[group] != group:
            group = self.leaders[group]
        return group
