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


def has_path(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> bool:
    """Whether any path of kept weights leads from the input to an output.

    The network, with the weights kept at one, gets two images, one of zeros and one of ones. Their outputs
    differ exactly if something gets through, since nothing can cancel.

    Args:
        model: a network whose activations do not fall when their input grows. The values of its parameters
            and its normalization do not matter.
        mask: the weights kept.
        shape: the shape of an input: channels, height, width.
    """
    device = next(model.parameters()).device
    network = copy.deepcopy(model).to(device, torch.float32).eval()
    weighted = {name.removesuffix(".weight") for name in mask}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
        for name, weight in prunable(network).items():
            weight.copy_(mask[name])
        for name, layer in network.named_modules():
            if isinstance(layer, NORMALIZATIONS):
                layer.register_forward_hook(passed_on)
            elif name in weighted:
                layer.register_forward_hook(reached)
        nothing, something = network(torch.stack([torch.zeros(shape), torch.ones(shape)]).to(device))
    return not torch.equal(nothing, something)


def passed_on(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook that makes a layer the identity."""
    return inputs[0]


def reached(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """A forward hook that only tells what the ones have changed, so that no product of layers overflows."""
    return (output != output[:1]).to(output.dtype)
