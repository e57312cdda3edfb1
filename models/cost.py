"""What a forward pass costs."""

import copy
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundations.weight_use import TRANSPOSED, WeightUse
from models.shape import ImageShape


def output_positions(model: nn.Module, shape: ImageShape) -> dict[str, int]:
    """How often each weight of a convolution or linear map is used for one image, by parameter name.

    It is the number of output positions (padding counted as if it were image): 1024 for a 3x3 convolution
    that keeps the size of a 32x32 image, 1 for a linear layer on a vector, the number of tokens for attention's
    projections. So a layer costs ``weight.numel() * positions`` multiply-adds, and under a mask ``mask.sum() *
    positions``. A layer that is used twice counts twice, an unused one has 0. Of a packed weight whose parts are used
    differently often (attention to another sequence) it is the mean, rounded. Parameters of two or more dimensions that
    are no such weights have 0.

    The model is any module that takes (N, channels, height, width). It is left untouched and nothing is
    computed: a copy without memory (device "meta") is asked for its shapes.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    traced = copy.deepcopy(model).to("meta").eval()
    # Names are looked up in the original: moving to "meta" unties weights that two layers share.
    weights = [
        (names[id(parameter)], traced.get_parameter(path))
        for path, parameter in model.named_parameters(remove_duplicate=False) if parameter.dim() > 1
    ]  # fmt: skip
    counting = Counting(weights)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    with torch.no_grad(), torch.device("meta"):
        images = torch.zeros(1, shape.channels, shape.height, shape.width, dtype=dtype)
        with counting:
            traced(images)
    return {name: round(counting.multiply_adds[name] / weight.numel()) for name, weight in weights}


class Counting(WeightUse):
    """Adds up multiply-adds by weight."""

    def __init__(self, weights: Sequence[tuple[str, Tensor]]) -> None:
        super().__init__(weights)
        self.multiply_adds = {name: 0 for name, _ in weights}

    def use(self, name: str, product: Callable[..., Tensor], inputs: Tensor, weight: Tensor, *more: Any) -> Tensor:
        output = product(inputs, weight, *more)
        function = product.func  # type: ignore[attr-defined]  # it is a partial
        if function is F.linear:
            positions = prod(output.shape[:-1])
        else:  # a transposed convolution uses each weight once for every position of its input
            positions = prod((inputs if function in TRANSPOSED else output).shape[2:])
        self.multiply_adds[name] += weight.numel() * positions
        return output
