"""Has pruning cut the network?"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pruning.mask import Mask
from pruning.prunable import prunable

NORMALIZATIONS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def empty_layers(mask: Mask) -> list[str]:
    """The layers of which no weight is kept. A network with residual paths may work without them."""
    return [name for name, entry in mask.items() if not entry.any()]


def has_path(model: nn.Module, mask: Mask, shape: tuple[int, int, int]) -> bool:
    """Whether any path of kept weights leads from the input to an output.

    The network with its kept weights at one, no biases and no normalization gets two images, of zeros and of
    ones; the two outputs differ exactly if something gets through.

    Args:
        model: any network of layers in which more input gives more output; its values do not matter.
        mask: the weights kept.
        shape: channels, height and width of an input.
    """
    device = next(model.parameters()).device
    device = torch.device("cpu") if device.type == "mps" else device
    network = copy.deepcopy(model).to(device, torch.float64).eval()
    layers = [module for module in network.modules() if getattr(module, "weight", None) is not None]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for name, weight in prunable(network).items():
            weight.copy_(mask[name])
        for layer in network.modules():
            if isinstance(layer, NORMALIZATIONS):
                layer.register_forward_hook(passed_on)
            elif layer in layers:
                layer.register_forward_hook(reached)
        images = torch.stack([torch.zeros(shape), torch.ones(shape)]).to(device, torch.float64)
        nothing, something = network(images)
    return not torch.equal(nothing, something)


def passed_on(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook that makes a layer the identity."""
    return inputs[0]


def reached(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook that only tells positive from zero, so that no product of many layers overflows."""
    return (output > 0).to(output.dtype)
