"""Operations that treat every channel by itself, as far as they are known."""

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

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
