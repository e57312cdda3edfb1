"""Which layers of a network share their channels, found from its forward pass."""

import operator
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from foundations.errors import UsageError


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
        """The number of hidden channels in groups that are not ``held``, and of all hidden channels."""
        hidden = {group: size for group, size in self.sizes.items() if group not in self.output}
        total = sum(hidden.values()) + sum(self.unseen.values())
        return sum(size for group, size in hidden.items() if group not in held), total

    def writers(self, group: int) -> list[str]:
        """The names of the layers whose output channels the group has."""
        return [layer.name for layer in self.layers if layer.writes == group]

    def why(self, held: Collection[int]) -> str:
        """What holds hidden channels of the groups ``held``: modules, functions, methods; at most five."""
        held_by = [self.reasons[group] for group in sorted(held) if group not in self.output]
        names = list(dict.fromkeys([*held_by, *self.unseen]))
        return ", ".join([*names[:5], *([f"{len(names) - 5} more"] if len(names) > 5 else [])])

    def tied(self, group: int) -> set[int | None]:
        """The other groups whose blocks move together with those of ``group``."""
        return {other for tie in self.ties if group in tie for other in tie} - {group}

    def in_blocks(self, group: int, order: Tensor) -> dict[int, Tensor]:
        """``order`` for ``group``, and for each group tied to it the order in which its blocks go along."""
        orders, count = {group: order}, self.blocks.get(group, 1)
        blocks = order[:: self.sizes[group] // count] // (self.sizes[group] // count)
        for other in self.tied(group):
            if other is not None and not blocks.equal(torch.arange(count)):
                size = self.sizes[other] // count
                orders[other] = (blocks[:, None] * size + torch.arange(size)).flatten()
        return orders

    def random_orders(self, generator: torch.Generator) -> dict[int, Tensor]:
        """A random order of the channels of every group that is not pinned: from which place each channel comes."""
        orders: dict[int, Tensor] = {}
        for group, size in self.sizes.items():
            if group in self.pinned:
                continue
            count, tied = self.blocks.get(group, 1), self.tied(group)
            within = [torch.randperm(size // count, generator=generator) for _ in range(count)]
            blocks = torch.arange(count) if tied else torch.randperm(count, generator=generator)
            orders[group] = torch.cat([block * (size // count) + within[block] for block in blocks.tolist()])
        for tie in self.ties:
            groups = sorted(group for group in tie if group is not None)
            if None not in tie:
                blocks = torch.randperm(self.blocks[groups[0]], generator=generator)
                for group in groups:
                    size = self.sizes[group] // len(blocks)
                    orders[group] = orders[group][(blocks[:, None] * size + torch.arange(size)).flatten()]
        return orders


CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCENORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def named(text: str) -> set[Any]:
    """Functions of these names in ``torch`` and ``torch.nn.functional``, and tensors' methods."""
    names = text.split()
    functions = {getattr(owner, name) for owner in (torch, F, operator) for name in names if hasattr(owner, name)}
    return {*functions, *names}


ELEMENTWISE = {
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh,
    nn.Sigmoid, nn.LogSigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign, nn.Tanhshrink,
    nn.Softshrink, nn.Hardshrink, nn.Threshold,
} | named(
    "relu relu_ relu6 leaky_relu elu celu selu gelu silu mish tanh tanh_ sigmoid sigmoid_ logsigmoid hardtanh "
    "hardswish hardsigmoid softplus softsign tanhshrink softshrink hardshrink threshold abs neg exp log sqrt rsqrt "
    "square pow clamp clamp_ clip detach clone"
) | {"contiguous", "float", "double"}  # fmt: skip
"""Those that draw no random numbers."""
BINARY = named("add add_ iadd sub sub_ isub mul mul_ imul div div_ truediv maximum minimum")
RANDOM = {
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
} | named("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout")  # fmt: skip
"""Elementwise in evaluation. In training a smaller network would draw other random numbers."""
POOLINGS = {
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.LPPool1d, nn.LPPool2d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d,
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d, nn.ReflectionPad1d, nn.ReflectionPad2d,
    nn.ReplicationPad1d, nn.ReplicationPad2d, nn.CircularPad1d, nn.CircularPad2d,
} | named(
    "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d lp_pool1d lp_pool2d adaptive_avg_pool1d "
    "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d interpolate"
)  # fmt: skip
"""Those that work on the positions of each channel by itself."""
REDUCTIONS = named("mean sum amax amin")
FLATTENINGS = {nn.Flatten, *named("flatten")}
VIEWS = named("view reshape")


def flattens(operation: Any, node: fx.Node, module: nn.Module | None) -> bool:
    """Whether this leaves the axis of the examples alone and makes one of all others."""
    if operation in FLATTENINGS:
        if isinstance(module, nn.Flatten):
            return (module.start_dim, module.end_dim) == (1, -1)
        return (node.args[1:], node.kwargs) in [((1,), {}), ((), {"start_dim": 1}), ((1, -1), {})]
    if operation not in VIEWS:
        return False
    shape = node.args[1] if isinstance(node.args[1], (tuple, list)) else node.args[1:]
    return len(shape) == 2 and reads_batch_size(shape[0]) and bool(shape[1] == -1)  # x.view(x.size(0), -1)


def reads_batch_size(argument: Any) -> bool:
    """Whether this is ``x.size(0)`` or ``x.shape[0]``, or the shape that it is taken from."""
    if not isinstance(argument, fx.Node):
        return False
    if argument.target == "size":
        return argument.args[1:] == (0,) or (argument.args[1:] == () and only_its_first_entry(argument))
    if argument.target is getattr and argument.args[1:] == ("shape",):
        return only_its_first_entry(argument)
    is_first = argument.target is operator.getitem and bool(argument.args[1] == 0)
    return is_first and reads_batch_size(argument.args[0])


def only_its_first_entry(shape: fx.Node) -> bool:
    """Whether nothing but the number of examples is taken from a shape."""
    return all(user.target is operator.getitem and user.args[1] == 0 for user in shape.users)


def dimensions_after(operation: Any, node: fx.Node, dims: int) -> int | None:
    """The number of axes after means over positions, padding, and indices such as ``x[:, :, None, None]``.

    None for any other operation, and for one that touches the axis of the examples or that of the channels.
    """
    if operation is operator.getitem:
        index = node.args[1]
        whole = slice(None)
        if not isinstance(index, tuple) or len(index) < 2 or index[0] != whole or index[1] != whole:
            return None
        if not all(entry is None or isinstance(entry, (int, slice)) for entry in index):
            return None
        return dims + sum((entry is None) - isinstance(entry, int) for entry in index)
    if operation is F.pad:
        return dims if isinstance(node.args[1], (tuple, list)) and len(node.args[1]) // 2 <= dims - 2 else None
    if operation not in REDUCTIONS or set(node.kwargs) - {"dim", "keepdim"}:
        return None
    given: dict[str, Any] = dict(zip(("dim", "keepdim"), node.args[1:], strict=False)) | dict(node.kwargs)
    dim, keepdim = given.get("dim"), given.get("keepdim", False)
    reduced = [dim] if isinstance(dim, int) else list(dim or ())
    if not reduced or any(not isinstance(one, int) or one % dims < 2 for one in reduced):
        return None
    return dims if keepdim else dims - len(reduced)


class Channels(NamedTuple):
    """What is known of a tensor: (N, channels, ...), or (N, channels * positions) where it has two axes.

    ``group`` is None for the network's input, whose channels belong to no layer.
    """

    group: int | None
    dims: int


def channel_graph(model: nn.Module) -> ChannelGraph:
    """The channels of a model that takes (N, channels, height, width).

    A tensor that is used in any other way than by one call of its module pins that module's channels.

    Raises:
        UsageError: the model cannot be traced, since its forward pass depends on more than shapes. The text is the
            model's class and the reason, ``Net cannot be traced (...)``.
    """
    tracer, own = _TouchedTensors(), set(vars(model))
    try:
        graph = tracer.trace(model)
    except Exception as error:  # anything may go wrong in a forward method that gets symbols for tensors
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"{type(model).__name__} cannot be traced ({reason})") from error
    finally:
        for name in set(vars(model)) - own:  # tensors that the tracer takes for constants
            delattr(model, name)
    return _ChannelsOf(model, graph, tracer.touched).result()


class _TouchedTensors(fx.Tracer):
    """Remembers the parameters and buffers that the forward pass takes into its own hands."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: set[int] = set()

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if isinstance(attr_val, Tensor):
            self.touched.add(id(attr_val))
        return super().getattr(attr, attr_val, parameter_proxy_cache)


class _ChannelsOf:
    """Follows channels from operation to operation; one without a rule pins those that it reads."""

    def __init__(self, model: nn.Module, graph: fx.Graph, touched: set[int]) -> None:
        self.modules = dict(model.named_modules())
        self.calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
        self.owners = Counter(
            id(parameter) for module in model.modules() for parameter in module.parameters(recurse=False)
        )
        named = dict([*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)])
        used = {id(named[str(node.target)]) for node in graph.nodes if node.op == "get_attr" and node.target in named}
        self.touched = touched | used
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
        last = [argument.target for node in graph.nodes if node.op == "output" for argument in node.all_input_nodes]
        self.unseen = {
            name: module.weight.shape[0] for name, module in model.named_modules()
            if isinstance(module, (*CONVOLUTIONS, nn.Linear)) and name not in last
        }  # fmt: skip
        self.values: dict[fx.Node, Channels | None] = {}
        for node in graph.nodes:
            read = [self.values[argument] for argument in node.all_input_nodes]
            self.values[node] = written = self.follow(node, read)
            if written is None and not reads_batch_size(node):
                groups = {value.group for value in read if value is not None and value.group is not None}
                self.pinned |= {group: called(node) for group in groups if group not in self.pinned}
                if node.op == "output":
                    self.output |= groups

    def result(self) -> ChannelGraph:
        """What was found; of groups that have turned out to be one, only the leader remains."""
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
                Layer(one.name, None if one.reads is None else leader(one.reads), leader(one.writes), one.blocks)
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
        """Groups whose blocks move together; a pinned one and the network's input do not move, which None says."""
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

    def follow(self, node: fx.Node, read: list[Channels | None]) -> Channels | None:
        """The channels of an operation's output; None if nothing is known of them."""
        if node.op == "placeholder":
            return Channels(None, dims=4)
        if node.op not in ("call_module", "call_function", "call_method") or not read:
            return None
        first, module = read[0], None
        operation: Any = node.target
        if node.op == "call_module":
            module = self.modules[str(node.target)]
            operation = type(module) if self.plain(str(node.target)) else None  # a subclass may do anything
        if isinstance(module, (*CONVOLUTIONS, nn.Linear)) and operation not in (*CONVOLUTIONS, nn.Linear):
            return self.other_layer(module, first, called(node))
        if module is not None and operation in CONVOLUTIONS:
            return self.convolution(str(node.target), module, first)
        if operation in BINARY and self.normalizes_input(node):
            return Channels(None, dims=4)
        if first is None:
            return None
        if module is not None and operation is nn.Linear:
            return self.linear(str(node.target), module, first)
        if module is not None and operation in RULES:
            return RULES[operation](self, str(node.target), module, first)
        if operation in BINARY and len(read) == 2:
            return self.together(node, read)
        if operation in ELEMENTWISE or operation in BINARY:
            return first if len(read) == 1 else None
        if operation in RANDOM or called(node) == "stochastic_depth":
            return self.hold(first, called(node)) if len(read) == 1 else None
        if operation in POOLINGS:
            return first if len(read) == 1 and first.dims > 2 else None
        if flattens(operation, node, module):
            return first._replace(dims=2)
        dims = dimensions_after(operation, node, first.dims)
        return None if dims is None else first._replace(dims=dims)

    def plain(self, name: str) -> bool:
        """Whether nothing is hooked into a module, and its tensors, if it has any, are used by one call of it alone."""
        module = self.modules[name]
        tensors = [*module.parameters(), *module.buffers()]
        shared = any(self.owners[id(tensor)] > 1 or id(tensor) in self.touched for tensor in tensors)
        again = self.calls[name] > 1 and bool(tensors)
        return not shared and not again and not module._forward_hooks and not module._forward_pre_hooks

    # Layers --------------------------------------------------------------------------------------------------

    def convolution(self, name: str, module: nn.Module, read: Channels | None) -> Channels | None:
        assert isinstance(module, CONVOLUTIONS)
        if not isinstance(module.weight, nn.Parameter) or (read is not None and read.dims == 2):
            return None
        group, dims = None if read is None else read.group, module.weight.dim()
        if module.groups == 1:
            return Channels(self.layer(name, module, group), dims)
        if group is not None and self.sizes[group] != module.in_channels:
            return None
        if group is not None and module.groups == module.in_channels == module.out_channels:
            return Channels(self.depthwise(name, group), dims)
        return Channels(self.grouped(name, module, group), dims)

    def linear(self, name: str, module: nn.Module, read: Channels) -> Channels | None:
        assert isinstance(module, nn.Linear)
        # On (N, channels, ...) it would work along another axis.
        if read.dims != 2 or not isinstance(module.weight, nn.Parameter):
            return None
        return Channels(self.layer(name, module, read.group), 2)

    def other_layer(self, module: Any, read: Channels | None, name: str) -> Channels | None:
        """A layer whose tensors are computed, shared or used elsewhere: its channels stay in order."""
        if read is not None and read.group is not None:
            self.pinned.setdefault(read.group, name)
        if isinstance(module, nn.Linear):
            return Channels(None, 2) if read is not None and read.dims == 2 else None
        return Channels(None, len(module.kernel_size) + 2)

    def layer(self, name: str, module: Any, read: int | None, blocks: int = 1) -> int:
        """A new group, which the layer writes."""
        group = len(self.sizes)
        self.sizes.append(module.weight.shape[0])
        self.leaders.append(group)
        self.layers.append(Layer(name, read, group, blocks))
        self.unseen.pop(name, None)
        self.axes += [Axis(f"{name}.weight", 0, group), Axis(f"{name}.bias", 0, group)]
        if read is not None:
            self.axes.append(Axis(f"{name}.weight", 1, read, blocks))
        return group

    def depthwise(self, name: str, group: int) -> int:
        """One filter a channel, which stays the channel that it was."""
        self.layers.append(Layer(name, group, group, self.sizes[group]))
        self.unseen.pop(name, None)
        self.axes += [Axis(f"{name}.weight", 0, group), Axis(f"{name}.bias", 0, group)]
        return group

    def grouped(self, name: str, module: nn.Module, read: int | None) -> int:
        """Blocks of channels, each read by a block of filters."""
        assert isinstance(module, CONVOLUTIONS)
        written = self.layer(name, module, read, module.groups)
        for group in (written,) if read is None else (read, written):
            self.blocks.append((group, module.groups, name))
            self.whole.setdefault(group, name)
        self.ties.append((read, written))
        return written

    def norm(self, name: str, module: Any, read: Channels) -> Channels | None:
        """BatchNorm or InstanceNorm: each channel by itself."""
        if read.group is None or module.num_features != self.sizes[read.group]:
            return None
        self.norms[name] = read.group
        self.channel_tensors(name, read.group, "weight", "bias", "running_mean", "running_var")
        return read

    def group_norm(self, name: str, module: Any, read: Channels) -> Channels | None:
        if read.group is None or module.num_channels != self.sizes[read.group]:
            return None
        if module.num_groups > 1:
            self.blocks.append((read.group, module.num_groups, name))
        return self.over_channels(name, read)

    def layer_norm(self, name: str, module: Any, read: Channels) -> Channels | None:
        """Over channels and positions, or over positions alone."""
        shape = module.normalized_shape
        if len(shape) < read.dims - 1:
            return read
        is_whole = read.group is not None and shape[0] % self.sizes[read.group] == 0
        return self.over_channels(name, read) if is_whole else None

    def over_channels(self, name: str, read: Channels) -> Channels:
        """A norm that takes channels together."""
        assert read.group is not None
        self.channel_tensors(name, read.group, "weight", "bias")
        return self.hold(read, name)

    def prelu(self, name: str, module: Any, read: Channels) -> Channels | None:
        if module.num_parameters > 1:
            if read.group is None or module.num_parameters != self.sizes[read.group]:
                return None
            self.channel_tensors(name, read.group, "weight")
        return read

    def channel_tensors(self, name: str, group: int, *tensors: str) -> None:
        """Tensors of a module that have an entry for each channel."""
        self.axes_of_norms += [Axis(f"{name}.{tensor}", 0, group) for tensor in tensors]

    # And what lies between them ------------------------------------------------------------------------------

    def hold(self, read: Channels, why: str) -> Channels:
        """What is read, whose channels may not be taken out."""
        if read.group is not None:
            self.whole.setdefault(read.group, why)
        return read

    def together(self, node: fx.Node, read: list[Channels | None]) -> Channels | None:
        """Two tensors added or multiplied channel by channel: from here on their groups are one."""
        first, second = read
        if first is None or second is None or first.group is None or second.group is None:
            return None
        tensors = all(isinstance(argument, fx.Node) for argument in node.args)
        if not tensors or first.dims != second.dims or self.sizes[first.group] != self.sizes[second.group]:
            return None
        self.leaders[self.leader(second.group)] = self.leader(first.group)
        return first

    def normalizes_input(self, node: fx.Node) -> bool:
        """Whether this is the network's input and constants of the network, such as a mean and a standard deviation."""
        tensors = [argument for argument in node.all_input_nodes if argument.op != "get_attr"]
        return len(tensors) == 1 and self.values[tensors[0]] == Channels(None, dims=4)

    def leader(self, group: int) -> int:
        while self.leaders[group] != group:
            group = self.leaders[group]
        return group


RULES: dict[Any, Callable[["_ChannelsOf", str, Any, Channels], Channels | None]] = {
    **dict.fromkeys((*BATCHNORMS, *INSTANCENORMS), _ChannelsOf.norm),
    nn.GroupNorm: _ChannelsOf.group_norm,
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm), _ChannelsOf.layer_norm),
    nn.PReLU: _ChannelsOf.prelu,
}


def called(node: fx.Node) -> str:
    """What an operation is called: a module's name in the network, or that of a function or method."""
    if node.op == "output":
        return "the output"
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))
