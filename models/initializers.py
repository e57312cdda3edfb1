"""Where weights begin. Every draw comes from the given generator."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import init

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

Initializer = Callable[[Tensor, torch.Generator], object]
"""Fills a weight (out, in, ...) of a convolution or linear layer in place."""

BatchNormInitializer = Callable[[Tensor, Tensor, torch.Generator], object]
"""Fills the scale and the shift (both: channels) of a BatchNorm layer in place."""


def kaiming_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Normal with variance 2 / fan_in (He et al. 2015, arXiv 1502.01852, equation 10)."""
    init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


def kaiming_uniform(weight: Tensor, generator: torch.Generator) -> None:
    """Uniform with variance 2 / fan_in (He et al. 2015)."""
    init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)


def xavier_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, equation 12)."""
    init.xavier_normal_(weight, generator=generator)


def xavier_uniform(weight: Tensor, generator: torch.Generator) -> None:
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, equation 16)."""
    init.xavier_uniform_(weight, generator=generator)


def orthogonal(weight: Tensor, generator: torch.Generator) -> None:
    """Orthonormal rows or columns of the weight seen as a matrix out x rest (Saxe et al. 2014, 1312.6120)."""
    init.orthogonal_(weight, generator=generator)


def binary(weight: Tensor, generator: torch.Generator) -> None:
    """Plus or minus sqrt(2 / fan_in), each with probability one half (Ramanujan et al. 2020, 1911.13299)."""
    deviation = (2 / weight[0].numel()) ** 0.5
    with torch.no_grad():
        weight.bernoulli_(0.5, generator=generator).mul_(2 * deviation).sub_(deviation)


def own(weight: Tensor, generator: torch.Generator) -> None:
    """As the network's own code has drawn them."""


def ones(scale: Tensor, shift: Tensor, generator: torch.Generator) -> None:
    """Scale 1, shift 0: PyTorch's default."""
    init.ones_(scale)
    init.zeros_(shift)


def uniform(scale: Tensor, shift: Tensor, generator: torch.Generator) -> None:
    """Scale uniform in [0, 1), shift 0: as in Frankle et al. 2020 (arXiv 1912.05671)."""
    init.uniform_(scale, generator=generator)
    init.zeros_(shift)


INITIALIZERS: dict[str, Initializer] = {
    function.__name__: function
    for function in (kaiming_normal, kaiming_uniform, xavier_normal, xavier_uniform, orthogonal, binary, own)
}
BATCHNORM_INITIALIZERS: dict[str, BatchNormInitializer] = {"uniform": uniform, "ones": ones}


def initialize(model: nn.Module, weights: str, batchnorms: str, generator: torch.Generator) -> None:
    """Fill all BatchNorm layers and the weights of all convolutions and linear layers, in the model's order.

    Everything else stays as it is: biases, embeddings, transposed convolutions, attention's packed projections.
    """
    fill_weight, fill_batchnorm = INITIALIZERS[weights], BATCHNORM_INITIALIZERS[batchnorms]
    for layer in model.modules():
        if isinstance(layer, WEIGHTED):
            fill_weight(layer.weight, generator)
        elif isinstance(layer, BATCHNORMS) and layer.affine:
            fill_batchnorm(layer.weight, layer.bias, generator)
