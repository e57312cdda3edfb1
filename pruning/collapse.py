"""Has pruning cut the network?"""

import torch
from torch import nn

from pruning.marking import marked_network, outputs_of_marks
from pruning.mask import Mask


def empty_layers(mask: Mask) -> list[str]:
    """The layers of which no weight is kept. A network with residual paths may work without them."""
    return [name for name, entry in mask.items() if not entry.any()]


def has_path(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> bool:
    """Whether any path of kept weights leads from the input to an output.

    The network, with the weights kept at one, gets black images and white ones. Their outputs differ exactly if
    something gets through, since nothing can cancel. See :func:`pruning.marking.outputs_of_marks`.

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
