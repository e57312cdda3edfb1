"""Which of a model's parameters can be pruned."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.conv import _ConvNd

from foundations.errors import UsageError, near_misses


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of every convolution and linear layer by parameter name, in the model's order.

    Shortcuts and the classifier are included; biases and BatchNorm are not. A weight that two layers share is
    listed once.
    """
    weights = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, (_ConvNd, nn.Linear)) and isinstance(module.weight, nn.Parameter)
    }
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in weights}


def ignored_layers(model: nn.Module, layers_to_ignore: Iterable[str]) -> set[str]:
    """The prunable parameters that ``layers_to_ignore`` names.

    Args:
        model: the model to be pruned.
        layers_to_ignore: names of parameters (``"conv.weight"``), of layers (``"conv"``) or of modules that
            contain layers (``"blocks.0"``), or patterns of them (``"blocks.*.shortcut"``; ``*`` matches dots
            too).

    Raises:
        UsageError: if an entry matches nothing.
    """
    ancestry = {name: ancestors(name) for name in prunable(model)}
    ignored: set[str] = set()
    for pattern in layers_to_ignore:
        matched = {name for name, family in ancestry.items() if any(fnmatchcase(member, pattern) for member in family)}
        if not matched:
            layers = [name.removesuffix(".weight") for name in ancestry]
            meant = near_misses(pattern, layers)
            raise UsageError(f"--layers_to_ignore={pattern}: no such layer{meant}; layers: {', '.join(layers)}")
        ignored |= matched
    return ignored


def ancestors(name: str) -> list[str]:
    """A parameter's name and those of all modules around it: ``a.b.weight`` gives ``a``, ``a.b``,
    ``a.b.weight``."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
