"""Small dense networks: the control that a subnetwork has to beat."""

from dataclasses import dataclass, replace

import torch

from models import ImageShape, ModelHparams, build, with_width
from models.registry import LARGEST
from pruning import prunable
from pruning.weight_use import output_positions


@dataclass(frozen=True)
class Size:
    """Of a network, or of what a mask keeps of it: prunable weights, and multiply-adds of one image's forward pass."""

    weights: int
    multiply_adds: int


def size_of(model: ModelHparams, shape: ImageShape) -> Size:
    network = build(model, shape, torch.Generator())
    positions = output_positions(network, shape)
    parameters = {name: parameter.numel() for name, parameter in network.named_parameters()}
    return Size(
        sum(weight.numel() for weight in prunable(network).values()),
        sum(parameters[name] * count for name, count in positions.items()),
    )


def equally_large(model: ModelHparams, shape: ImageShape, measure: str, wanted: int) -> tuple[str, Size]:
    """Return the dense network of the same kind, in another width, that comes nearest to a size, and its own size.

    Args:
        model: the network whose name has a width, see ``models.with_width``.
        shape: of the images.
        measure: ``weights`` or ``multiply_adds``.
        wanted: how many.

    Raises:
        UsageError: the family has no width in its name.
    """

    def at(width: int) -> tuple[str, Size]:
        name = with_width(model.model, width)
        return name, size_of(replace(model, model=name), shape)

    def large(width: int) -> bool:
        return width >= LARGEST or bool(getattr(at(width)[1], measure) >= wanted)

    high = 1
    while not large(high):
        high *= 2
    low = high // 2  # is too small, or 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if large(middle) else (middle, high)
    return min(map(at, range(max(low, 1), high + 1)), key=lambda found: abs(getattr(found[1], measure) - wanted))
