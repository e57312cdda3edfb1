"""Which layers of a network share their channels, found from its forward pass."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, fx, nn

from foundations.errors import UsageError
from pruning.channels import Axis, ChannelGraph, Layer
from pruning.operations import (
    BATCHNORMS,
    BINARY,
    CONVOLUTIONS,
    ELEMENTWISE,
    INSTANCENORMS,
    POOLINGS,
    RANDOM,
    called,
    dimensions_after,
    flattens,
    reads_batch_size,
)


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

    def follow(self, node: fx.Node, read: list[Channels | None]) -> Channels | None:
        """Return the channels of an operation's output; None if nothing is known of them."""
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
        """Return whether nothing is hooked into a module, and its tensors are used by one call of it alone."""
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
        """Return a new group, which the layer writes."""
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
        self.layers.append(Layer(name, group, group, self.sizes[group]))
        self.unseen.pop(name, None)
        self.axes += [Axis(f"{name}.weight", 0, group), Axis(f"{name}.bias", 0, group)]
        return group

    def grouped(self, name: str, module: nn.Module, read: int | None) -> int:
        assert isinstance(module, CONVOLUTIONS)
        written = self.layer(name, module, read, module.groups)
        for group in (written,) if read is None else (read, written):
            self.blocks.append((group, module.groups, name))
            self.whole.setdefault(group, name)
        self.ties.append((read, written))
        return written

    def norm(self, name: str, module: Any, read: Channels) -> Channels | None:
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
        shape = module.normalized_shape
        if len(shape) < read.dims - 1:
            return read
        is_whole = read.group is not None and shape[0] % self.sizes[read.group] == 0
        return self.over_channels(name, read) if is_whole else None

    def over_channels(self, name: str, read: Channels) -> Channels:
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
        self.axes_of_norms += [Axis(f"{name}.{tensor}", 0, group) for tensor in tensors]

    # And what lies between them ------------------------------------------------------------------------------

    def hold(self, read: Channels, why: str) -> Channels:
        """Return what is read; its channels may not be taken out."""
        if read.group is not None:
            self.whole.setdefault(read.group, why)
        return read

    def together(self, node: fx.Node, read: list[Channels | None]) -> Channels | None:
        """Return the channels of a sum or product of two tensors, whose groups are one from here on."""
        first, second = read
        if first is None or second is None or first.group is None or second.group is None:
            return None
        tensors = all(isinstance(argument, fx.Node) for argument in node.args)
        if not tensors or first.dims != second.dims or self.sizes[first.group] != self.sizes[second.group]:
            return None
        self.leaders[self.leader(second.group)] = self.leader(first.group)
        return first

    def normalizes_input(self, node: fx.Node) -> bool:
        """Return whether this is the network's input and constants, such as a mean and a standard deviation."""
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
