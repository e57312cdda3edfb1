"""Which kept weights lie on a path from input to output."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.collapse import NORMALIZATIONS, passed_on
from pruning.mask import Mask
from pruning.prunable import prunable

REACHED = 0.5  # within the range in which saturating activations still rise
AVERAGES = {nn.MaxPool1d: F.avg_pool1d, nn.MaxPool2d: F.avg_pool2d, nn.MaxPool3d: F.avg_pool3d}


def effective_mask(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> Mask:
    """The kept weights that lie on a path of kept weights from the input to an output.

    The others do nothing: their unit hears nothing of the input or is heard by nobody (Vysogorets and Kempe 2021,
    "Connectivity matters: neural network pruning through the lens of effective sparsity", arXiv 2107.02306). Biases
    and normalization carry no path: a unit that hears only its own bias is a constant. A weight of a convolution
    that meets nothing but padding is on no path either.

    The network, with the weights kept at one, gets an image of zeros and one of ones; a weight is on a path if what
    enters it differs between the two and a gradient comes back to it. Before and after every layer values and
    gradients are only marked as there or not, so that nothing overflows, vanishes or cancels.

    Args:
        model: a network whose activations rise with their input. The values of its parameters and its normalization
            do not matter. A maximum counts as reached by all that it is taken over, if it is a module without
            dilation.
        mask: the weights kept.
        shape: the shape of an input: channels, height, width.
    """
    network = copy.deepcopy(model).to("cpu", torch.float64).eval()
    weights = prunable(network)
    for parameter in network.parameters():
        parameter.requires_grad_(False).fill_(0)
    for name, weight in weights.items():
        weight.copy_(mask[name])
        weight.requires_grad_(True)
    weighted = {id(weight) for weight in weights.values()}
    for layer in network.modules():
        if id(getattr(layer, "weight", None)) in weighted:
            layer.register_forward_pre_hook(lambda layer, inputs: (Reached.apply(inputs[0]), *inputs[1:]))
            layer.register_forward_hook(lambda layer, inputs, output: Reached.apply(output))
        elif isinstance(layer, NORMALIZATIONS):
            layer.register_forward_hook(passed_on)
        elif type(layer) in AVERAGES and layer.dilation in (1, (1,) * len(shape[1:])):
            layer.register_forward_hook(averaged)
    images = torch.stack([torch.zeros(shape), torch.ones(shape)]).double()
    with torch.enable_grad():
        output = network(images)[1].sum()
        gradients = torch.autograd.grad(output, list(weights.values()), allow_unused=True)
    return Mask({
        name: mask[name] & (torch.zeros_like(mask[name]) if gradient is None else (gradient != 0).to(mask[name].device))
        for name, gradient in zip(weights, gradients, strict=True)
    })  # fmt: skip


class Reached(torch.autograd.Function):
    """Marks where the two images of a batch differ and, on the way back, where a gradient comes from."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return REACHED * (values != values[:1]).to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return (gradients[0] != 0).to(gradients[0].dtype)


def averaged(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook that makes a maximum an average, whose gradient goes to all that it is taken over."""
    result: Tensor = AVERAGES[type(layer)](inputs[0], layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
    return result
