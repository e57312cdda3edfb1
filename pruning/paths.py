"""Which kept weights lie on a path from input to output."""

import torch
from torch import nn

from pruning.marking import marked_network, outputs_of_marks
from pruning.mask import Mask
from pruning.prunable import prunable


def effective_mask(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> Mask:
    """The kept weights that lie on a path of kept weights from the input to an output.

    The others do nothing: their unit hears nothing of the input or is heard by nobody (Vysogorets and Kempe 2021,
    "Connectivity matters: neural network pruning through the lens of effective sparsity", arXiv 2107.02306). Biases
    and normalization carry no path: a unit that hears only its own bias is a constant. A weight of a convolution
    that meets nothing but padding is on no path either.

    The network, with the weights kept at one, gets black images and white ones; a weight is on a path if what
    enters it differs between the two and a gradient comes back to it. See :func:`pruning.marking.outputs_of_marks`.
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
