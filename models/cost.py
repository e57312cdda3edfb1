"""What a forward pass costs."""

import copy
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from models.shape import ImageShape

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def output_positions(model: nn.Module, shape: ImageShape) -> dict[str, int]:
    """How often each weight of a convolution or linear layer is used for one image, by parameter name.

    It is the number of output positions (padding counted as if it were image): 1024 for a 3x3 convolution
    that keeps the size of a 32x32 image, 1 for a linear layer on a vector. So a layer costs ``weight.numel()
    * positions`` multiply-adds, and under a mask ``mask.sum() * positions``. A layer that is used twice
    counts twice, an unused one has 0.

    The model is any module that takes (N, channels, height, width). It is left untouched and nothing is
    computed: a copy without memory (device "meta") is asked for its shapes.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    traced = copy.deepcopy(model).to("meta").eval()
    positions: dict[str, int] = {}
    # Names are looked up in the original: moving to "meta" unties weights that two layers share.
    for path, layer in model.named_modules():
        if isinstance(layer, (*CONVOLUTIONS, *TRANSPOSED, nn.Linear)):
            name = names.get(id(layer.weight))
            if name is None:  # the weight is computed from other parameters, as in weight normalization
                continue
            positions[name] = 0
            traced.get_submodule(path).register_forward_hook(_counter(positions, name))
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    with torch.no_grad(), torch.device("meta"):
        traced(torch.zeros(1, shape.channels, shape.height, shape.width, dtype=dtype))
    return positions


def _counter(positions: dict[str, int], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            positions[name] += prod(output.shape[:-1])
        else:  # a transposed convolution uses each weight once for every position of its input
            positions[name] += prod((inputs[0] if isinstance(layer, TRANSPOSED) else output).shape[2:])

    return count
