"""Operations that treat every channel by itself, or all alike, as far as they are known."""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCENORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def named(text: str) -> set[Any]:
    """Return functions of these names in ``torch`` and ``torch.nn.functional``, and tensors' methods."""
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
    """Return whether this leaves the axis of the examples alone and makes one of all others."""
    if operation in FLATTENINGS:
        if isinstance(module, nn.Flatten):
            return (module.start_dim, module.end_dim) == (1, -1)
        return (node.args[1:], node.kwargs) in [((1,), {}), ((), {"start_dim": 1}), ((1, -1), {})]
    if operation not in VIEWS:
        return False
    shape = node.args[1] if isinstance(node.args[1], (tuple, list)) else node.args[1:]
    return len(shape) == 2 and reads_batch_size(shape[0]) and bool(shape[1] == -1)  # x.view(x.size(0), -1)


def reads_batch_size(argument: Any) -> bool:
    """Return whether this is ``x.size(0)`` or ``x.shape[0]``, or the shape that it is taken from."""
    if not isinstance(argument, fx.Node):
        return False
    if argument.target == "size":
        return argument.args[1:] == (0,) or (argument.args[1:] == () and only_its_first_entry(argument))
    if argument.target is getattr and argument.args[1:] == ("shape",):
        return only_its_first_entry(argument)
    is_first = argument.target is operator.getitem and bool(argument.args[1] == 0)
    return is_first and reads_batch_size(argument.args[0])


def only_its_first_entry(shape: fx.Node) -> bool:
    return all(user.target is operator.getitem and user.args[1] == 0 for user in shape.users)


def dimensions_after(operation: Any, node: fx.Node, dims: int) -> int | None:
    """Return the number of axes after means over positions, padding, and indices such as ``x[:, :, None, None]``.

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


def called(node: fx.Node) -> str:
    """Return what an operation is called: a module's name in the network, or that of a function or method."""
    if node.op == "output":
        return "the output"
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))
