"""Which layers of a network share their channels, found from its forward pass."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, fx, nn

from foundations.errors import UsageError
from pruning.channels import ChannelGraph, GraphBuilder
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

LAYERS = (*CONVOLUTIONS, nn.Linear)


class Channels(NamedTuple):
    """What is known of a tensor: (N, channels, ...), or (N, channels * positions) where it has two axes.

    ``group`` is None for the network's input, whose channels belong to no layer.
    """

    group: int | None
    dims: int


IMAGES = Channels(None, dims=4)


def channel_graph(model: nn.Module) -> ChannelGraph:
    """Return the groups of channels of a model that takes (N, channels, height, width).

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
    return _ChannelsOf(model, graph, plain_modules(model, graph, tracer.touched)).result()


class _TouchedTensors(fx.Tracer):
    """Remembers the parameters and buffers that the forward pass takes into its own hands."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: set[int] = set()

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if isinstance(attr_val, Tensor):
            self.touched.add(id(attr_val))
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def plain_modules(model: nn.Module, graph: fx.Graph, touched: set[int]) -> set[str]:
    """Return the modules without hooks whose tensors, if they have any, are used by one call of the module alone."""
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    owners = Counter(id(one) for module in model.modules() for one in module.parameters(recurse=False))
    named = dict([*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)])
    read = {id(named[str(node.target)]) for node in graph.nodes if node.op == "get_attr" and node.target in named}
    elsewhere = touched | read

    def is_plain(name: str, module: nn.Module) -> bool:
        tensors = [*module.parameters(), *module.buffers()]
        shared = any(owners[id(tensor)] > 1 or id(tensor) in elsewhere for tensor in tensors)
        again = calls[name] > 1 and bool(tensors)
        return not shared and not again and not module._forward_hooks and not module._forward_pre_hooks

    return {name for name, module in model.named_modules() if is_plain(name, module)}


class _ChannelsOf:
    """Follows channels from operation to operation; one without a rule pins those that it reads."""

    def __init__(self, model: nn.Module, graph: fx.Graph, plain: set[str]) -> None:
        self.modules, self.nodes, self.plain = dict(model.named_modules()), graph.nodes, plain
        last = [argument.target for node in graph.nodes if node.op == "output" for argument in node.all_input_nodes]
        self.found = GraphBuilder(unseen={
            name: module.weight.shape[0] for name, module in model.named_modules()
            if isinstance(module, LAYERS) and name not in last
        })  # fmt: skip
        self.values: dict[fx.Node, Channels | None] = {}

    def result(self) -> ChannelGraph:
        for node in self.nodes:
            read = [self.values[argument] for argument in node.all_input_nodes]
            self.values[node] = written = self.follow(node, read)
            if written is None and not reads_batch_size(node):
                groups = {value.group for value in read if value is not None and value.group is not None}
                for group in groups:
                    self.found.pinned.setdefault(group, called(node))
                if node.op == "output":
                    self.found.output |= groups
        return self.found.graph()

    def follow(self, node: fx.Node, read: list[Channels | None]) -> Channels | None:
        """Return the channels of an operation's output; None if nothing is known of them."""
        if node.op == "placeholder":
            return IMAGES
        if node.op not in ("call_module", "call_function", "call_method") or not read:
            return None
        first, name, module = read[0], str(node.target), None
        operation: Any = node.target
        if node.op == "call_module":
            module = self.modules[name]
            operation = type(module) if name in self.plain else None  # a subclass may do anything
        if isinstance(module, LAYERS) and operation not in LAYERS:
            return self.other_layer(module, first, called(node))
        if module is not None and operation in CONVOLUTIONS:
            return self.convolution(name, module, first)
        if operation in BINARY and self.normalizes_input(node):
            return IMAGES
        if first is None:
            return None
        if module is not None and operation in RULES:
            return RULES[operation](self, name, module, first)
        if operation in BINARY and len(read) == 2:
            return self.together(node, read)
        return self.passed_on(operation, node, module, first, alone=len(read) == 1)

    def passed_on(
        self, operation: Any, node: fx.Node, module: nn.Module | None, read: Channels, *, alone: bool
    ) -> Channels | None:
        """Return the channels after an operation that treats each by itself, if it is known as such.

        ``alone`` says whether ``read`` is the only tensor that it reads.
        """
        if operation in ELEMENTWISE or operation in BINARY:
            return read if alone else None
        if operation in RANDOM or called(node) == "stochastic_depth":
            return self.hold(read, called(node)) if alone else None
        if operation in POOLINGS:
            return read if alone and read.dims > 2 else None
        if flattens(operation, node, module):
            return read._replace(dims=2)
        dims = dimensions_after(operation, node, read.dims)
        return None if dims is None else read._replace(dims=dims)

    # Layers --------------------------------------------------------------------------------------------------

    def convolution(self, name: str, module: nn.Module, read: Channels | None) -> Channels | None:
        assert isinstance(module, CONVOLUTIONS)
        if not isinstance(module.weight, nn.Parameter) or (read is not None and read.dims == 2):
            return None
        group, dims = None if read is None else read.group, module.weight.dim()
        if module.groups == 1:
            return Channels(self.found.add_layer(name, len(module.weight), group), dims)
        if group is not None and self.found.sizes[group] != module.in_channels:
            return None
        if group is not None and module.groups == module.in_channels == module.out_channels:
            return Channels(self.found.add_layer(name, len(module.weight), group, group, module.groups), dims)
        return Channels(self.found.add_grouped(name, len(module.weight), group, module.groups), dims)

    def linear(self, name: str, module: Any, read: Channels) -> Channels | None:
        # On (N, channels, ...) it would work along another axis.
        if read.dims != 2 or not isinstance(module.weight, nn.Parameter):
            return None
        return Channels(self.found.add_layer(name, len(module.weight), read.group), 2)

    def other_layer(self, module: Any, read: Channels | None, name: str) -> Channels | None:
        """Return the channels of a layer whose tensors are computed, shared or used elsewhere: they stay in order."""
        if read is not None and read.group is not None:
            self.found.pinned.setdefault(read.group, name)
        if isinstance(module, nn.Linear):
            return Channels(None, 2) if read is not None and read.dims == 2 else None
        return Channels(None, len(module.kernel_size) + 2)

    # Normalizations ------------------------------------------------------------------------------------------

    def norm(self, name: str, module: Any, read: Channels) -> Channels | None:
        if read.group is None or module.num_features != self.found.sizes[read.group]:
            return None
        self.found.norms[name] = read.group
        self.found.add_axes(name, read.group, "weight", "bias", "running_mean", "running_var")
        return read

    def group_norm(self, name: str, module: Any, read: Channels) -> Channels | None:
        if read.group is None or module.num_channels != self.found.sizes[read.group]:
            return None
        if module.num_groups > 1:
            self.found.blocks.append((read.group, module.num_groups, name))
        return self.over_channels(name, read)

    def layer_norm(self, name: str, module: Any, read: Channels) -> Channels | None:
        shape = module.normalized_shape
        if len(shape) < read.dims - 1:
            return read
        is_whole = read.group is not None and shape[0] % self.found.sizes[read.group] == 0
        return self.over_channels(name, read) if is_whole else None

    def over_channels(self, name: str, read: Channels) -> Channels:
        assert read.group is not None
        self.found.add_axes(name, read.group, "weight", "bias")
        return self.hold(read, name)

    def prelu(self, name: str, module: Any, read: Channels) -> Channels | None:
        if module.num_parameters > 1:
            if read.group is None or module.num_parameters != self.found.sizes[read.group]:
                return None
            self.found.add_axes(name, read.group, "weight")
        return read

    # And what lies between them ------------------------------------------------------------------------------

    def hold(self, read: Channels, why: str) -> Channels:
        """Return what is read; its channels may not be taken out."""
        if read.group is not None:
            self.found.whole.setdefault(read.group, why)
        return read

    def together(self, node: fx.Node, read: list[Channels | None]) -> Channels | None:
        """Return the channels of a sum or product of two tensors, whose groups are one from here on."""
        first, second = read
        if first is None or second is None or first.group is None or second.group is None:
            return None
        tensors, sizes = all(isinstance(argument, fx.Node) for argument in node.args), self.found.sizes
        if not tensors or first.dims != second.dims or sizes[first.group] != sizes[second.group]:
            return None
        self.found.join(first.group, second.group)
        return first

    def normalizes_input(self, node: fx.Node) -> bool:
        """Return whether this is the network's input and constants, such as a mean and a standard deviation."""
        tensors = [argument for argument in node.all_input_nodes if argument.op != "get_attr"]
        return len(tensors) == 1 and self.values[tensors[0]] == IMAGES


RULES: dict[Any, Callable[["_ChannelsOf", str, Any, Channels], Channels | None]] = {
    nn.Linear: _ChannelsOf.linear,
    **dict.fromkeys((*BATCHNORMS, *INSTANCENORMS), _ChannelsOf.norm),
    nn.GroupNorm: _ChannelsOf.group_norm,
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm), _ChannelsOf.layer_norm),
    nn.PReLU: _ChannelsOf.prelu,
}
