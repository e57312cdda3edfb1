"""Which kept weights lie on a path from input to output, and whether there is any."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pruning.mask import Mask
from pruning.prunable import prunable
from pruning.weight_use import WeightUse

NORMALIZATIONS = (_NormBase, nn.GroupNorm, nn.LayerNorm)
AVERAGES = {nn.MaxPool1d: F.avg_pool1d, nn.MaxPool2d: F.avg_pool2d, nn.MaxPool3d: F.avg_pool3d}
SOFTMAXES = {F.softmax, torch.softmax, Tensor.softmax}
REACHED = 0.5  # within the range in which saturating activations still rise


def marked_network(model: nn.Module, mask: Mask, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A copy of ``model`` for marks: the weights kept are one.

    Biases are zero, normalization passes everything on, all other parameters (scales, embeddings) are one, and a
    maximum is an average, if it is a module without dilation.
    """
    network = copy.deepcopy(model).to(device, dtype).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(False).fill_(0 if name.endswith("bias") else 1)
        for name, weight in prunable(network).items():
            weight.copy_(mask[name])
    for layer in network.modules():
        if isinstance(layer, NORMALIZATIONS):
            layer.register_forward_hook(passed_on)
        elif type(layer) in AVERAGES and dilation(layer) == {1}:
            layer.register_forward_hook(averaged)
    return network


def dilation(pooling: Any) -> set[int]:
    """Along any axis."""
    return {pooling.dilation} if isinstance(pooling.dilation, int) else set(pooling.dilation)


def outputs_of_marks(network: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """What a network for marks makes of black images and of white ones: it differs where a path leads.

    Before and after every linear map and convolution values and, on the way back, gradients are only marked as there or
    not, so that nothing overflows, vanishes or cancels. "There" is what differs between black and white images, which
    are not in one batch: an operation need not have the images along the first axis. A softmax hands its marks on, so
    that attention, whichever way it is written, goes by what is read and by which queries and keys.

    Args:
        network: from :func:`marked_network`; its activations rise with their input.
        shape: of an image: channels, height, width.
    """
    parameter = next(network.parameters())
    images = torch.zeros(2, *shape, dtype=parameter.dtype, device=parameter.device)  # two: a squeeze takes one away
    marking = Marking(prunable(network).items())
    with marking:
        black = network(images)
    marking.black = iter(marking.seen)
    with marking:
        white = network(torch.ones_like(images))
    return black, white


class Marking(WeightUse):
    """Marks what enters and leaves linear maps, convolutions and softmaxes; the first pass is that of black images."""

    def __init__(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        super().__init__(weights)
        self.seen: list[Tensor] = []
        self.black: Iterator[Tensor] | None = None

    def use(self, name: str, product: Callable[..., Tensor], inputs: Tensor, weight: Tensor, *more: Any) -> Tensor:
        return self.marked(product(self.marked(inputs), weight, *more))

    def other(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if function in SOFTMAXES:
            return REACHED + self.marked(args[0])
        return super().other(function, args, kwargs)

    def marked(self, values: Tensor) -> Tensor:
        if self.black is None:
            self.seen.append(values.detach())
            return torch.zeros_like(values)
        result: Tensor = Reached.apply(values, next(self.black))
        return result


class Reached(torch.autograd.Function):
    """Marks where white images differ from black ones and, on the way back, where a gradient comes from."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, black: Tensor) -> Tensor:
        return REACHED * (values != black).to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return (gradients[0] != 0).to(gradients[0].dtype), None


def passed_on(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook that makes a layer the identity."""
    return inputs[0]


def averaged(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook that makes a maximum an average, whose gradient goes to all that it is taken over."""
    result: Tensor = AVERAGES[type(layer)](inputs[0], layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
    return result


def effective_mask(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> Mask:
    """The kept weights that lie on a path of kept weights from the input to an output.

    The others do nothing: their unit hears nothing of the input or is heard by nobody (Vysogorets and Kempe 2021,
    "Connectivity matters: neural network pruning through the lens of effective sparsity", arXiv 2107.02306). Biases
    and normalization carry no path: a unit that hears only its own bias is a constant. A weight of a convolution
    that meets nothing but padding is on no path either.

    The network, with the weights kept at one, gets black images and white ones; a weight is on a path if what
    enters it differs between the two and a gradient comes back to it. See :func:`outputs_of_marks`.
    Through attention paths lead from the values, and from queries and keys where both are there; its masks are left
    out.

    Args:
        model: a network whose activations rise with their input. The values of its parameters and its normalization
            do not matter. A maximum counts as reached by all that it is taken over, if it is a module without
            dilation.
        mask: the weights kept.
        shape: the shape of an input: channels, height, width.
    """
    network = marked_network(model, mask, torch.device("cpu"), torch.float64)
    weights = prunable(network)
    for weight in weights.values():
        weight.requires_grad_(True)
    with torch.enable_grad():
        _, white = outputs_of_marks(network, shape)
        gradients = torch.autograd.grad(white.sum(), list(weights.values()), allow_unused=True)
    return Mask({
        name: mask[name] & (torch.zeros_like(mask[name]) if gradient is None else (gradient != 0).to(mask[name].device))
        for name, gradient in zip(weights, gradients, strict=True)
    })  # fmt: skip


def empty_layers(mask: Mask) -> list[str]:
    """The layers of which no weight is kept. A network with residual paths may work without them."""
    return [name for name, entry in mask.items() if not entry.any()]


def has_path(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> bool:
    """Whether any path of kept weights leads from the input to an output.

    The network, with the weights kept at one, gets black images and white ones. Their outputs differ exactly if
    something gets through, since nothing can cancel. See :func:`outputs_of_marks`.

    Args:
        model: a network whose activations do not fall when their input grows. The values of its parameters
            and its normalization do not matter.
        mask: the weights kept.
        shape: the shape of an input: channels, height, width.
    """
    network = marked_network(model, mask, next(model.parameters()).device, torch.float32)
    with torch.no_grad():
        black, white = outputs_of_marks(network, shape)
    return not torch.equal(black, white)
