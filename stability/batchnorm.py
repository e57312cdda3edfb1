"""BatchNorm's statistics, recomputed for a network that no training has visited."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Batches = Iterable[tuple[Tensor, Tensor]]


def batchnorms(model: nn.Module) -> list[_BatchNorm]:
    """The layers that keep running statistics."""
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


@torch.no_grad()
def recalculate(model: nn.Module, batches: Batches) -> None:
    """Sets the running statistics to those of ``batches``, one forward pass over them.

    Every batch counts the same: the running mean becomes the average of the batches' means, the running variance
    that of their (unbiased) variances. All other layers are in evaluation mode meanwhile. Interpolated weights do
    not produce interpolated activations, so statistics that are interpolated like weights can ruin a network that is
    otherwise good.
    """
    layers = batchnorms(model)
    before = [(layer.momentum, layer.training) for layer in layers]
    was_training = model.training
    model.eval()
    averages = [layer.register_forward_pre_hook(CumulativeAverage()) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
    for inputs, _ in batches:
        model(inputs)
    for average in averages:
        average.remove()
    model.train(was_training)
    for layer, (momentum, training) in zip(layers, before, strict=True):
        layer.momentum = momentum
        layer.train(training)


class CumulativeAverage:
    """Before each forward pass of a layer: gives the n-th the weight 1 / n.

    BatchNorm does the same with the momentum None, but reads n from the device, for which it waits.
    """

    def __init__(self) -> None:
        self.passes = 0

    def __call__(self, layer: _BatchNorm, inputs: object) -> None:
        self.passes += 1
        layer.momentum = 1 / self.passes
