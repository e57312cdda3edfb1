"""Which layers' weights compete with each other, and how far each group is pruned."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from pruning.hparams import PruningHparams
from pruning.mask import Mask
from pruning.prunable import ignored_layers, layer_fractions, matching


@dataclass(frozen=True)
class Share:
    """Layers whose weights compete with each other.

    Args:
        names: their parameters.
        first: the density they have, taken together.
        last: the density that they come to; no higher than the first.
    """

    names: tuple[str, ...]
    first: float
    last: float


def shares(mask: Mask, density: float, hparams: PruningHparams) -> list[Share]:
    """How the layers of ``mask`` are pruned to ``density``.

    A layer with a fraction f' of its own is by itself and comes to density^(log(1 - f') / log(1 - f)), f the general
    ``pruning_fraction``: it is pruned by f' as often as the others by f.
    """
    own = layer_fractions(mask.keys(), hparams.layer_fractions)
    common = [name for name in mask if name not in own]
    groups = [[name] for name in common] if hparams.pruning_scope == "layer" else split(common, hparams.layers_apart)
    powers = {name: math.log1p(-fraction) / math.log1p(-hparams.pruning_fraction) for name, fraction in own.items()}
    ends = [(group, density) for group in groups] + [([name], density**power) for name, power in powers.items()]
    found = []
    for group, end in ends:
        first = mask.without(set(mask) - set(group)).density
        found.append(Share(tuple(group), first, min(first, end)))
    return found


def check_layers(model: nn.Module, hparams: PruningHparams) -> None:
    """Raises ``UsageError`` if layers are named that a model does not have: before it is trained for long."""
    if hparams.layers_to_ignore or hparams.layer_fractions or hparams.layers_apart:
        shares(Mask.ones(model).without(ignored_layers(model, hparams.layers_to_ignore)), 1.0, hparams)


def split(names: Sequence[str], layers_apart: Iterable[str]) -> list[list[str]]:
    """Layers that compete with each other: those apart, and the others; ``UsageError`` if an entry matches nothing."""
    apart = {name for pattern in layers_apart for name in matching(names, pattern, "layers_apart")}
    groups = ([name for name in names if (name in apart) is wanted] for wanted in (False, True))
    return [group for group in groups if group]
