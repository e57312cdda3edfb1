"""Which of a model's parameters can be pruned, and how they have to lie in memory."""

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from foundations.errors import UsageError, near_misses
from pruning.computed import parameter_of


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights of every convolution and linear layer by parameter name, in the model's order.

    Shortcuts, the classifier and attention's projections are included, of which PyTorch packs three into one
    ``in_proj_weight``; biases and BatchNorm are not. A weight that two layers share is listed once. Where a layer's
    weight is computed from parameters (weight normalization), the one is listed whose zeros are zeros of the weight; if
    there is none (weight standardization), the layer stays dense.

    Raises:
        UsageError: a layer has no weights yet (LazyLinear), or ``torch.nn.utils.prune`` masks it already.
    """
    weights = {id(weight) for module in model.modules() for weight in weights_of(module)}
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in weights}


def weights_of(module: nn.Module) -> list[nn.Parameter]:
    """Return the prunable parameters that a module itself holds."""
    if isinstance(module, _ConvNd | nn.Linear):
        weight = parameter_of(module)
        return [] if weight is None else [weight]
    if isinstance(module, nn.MultiheadAttention):  # its output's projection is a linear layer within it
        names = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
        return [weight for name in names if (weight := module._parameters.get(name)) is not None]
    return []


def left_dense(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters of two or more dimensions that are not prunable: embeddings, recurrent layers, ..."""
    weights = prunable(model)
    return {name: p for name, p in model.named_parameters() if p.dim() > 1 and name not in weights}


def make_dense(model: nn.Module) -> None:
    """Give each parameter that has gaps in memory, a slice of a larger tensor, memory of its own.

    Fused optimizers go through a parameter as it lies in memory, gaps included: they would pair its entries with the
    gradients of others, without a word. Parameters stay the same objects, so those that are tied stay so, and views
    without gaps (``torch.nn.utils.vector_to_parameters``) stay where they are.

    Raises:
        UsageError: such a parameter shares memory with another one; apart they would be another network.
    """
    shared = sharing_memory(model)
    for name, parameter in model.named_parameters():
        if is_dense(parameter):
            continue
        if others := shared.get(name):
            raise UsageError(
                f"The parameters {name} and {others[0]} share memory, and {name} has gaps there, with which no fused "
                f"optimizer can train it; give it memory of its own (.clone()), or make both one parameter"
            )
        parameter.data = parameter.detach().contiguous()
        if parameter.grad is not None:
            parameter.grad = parameter.grad.contiguous()


def is_dense(tensor: Tensor) -> bool:
    """Return whether entries lie in memory without gaps or overlaps, in whatever order of the dimensions."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def sharing_memory(model: nn.Module) -> dict[str, list[str]]:
    """Return the parameters that share entries in memory with others, and these."""
    by_storage: dict[object, dict[str, Tensor]] = {}
    for name, parameter in model.named_parameters():
        by_storage.setdefault(parameter.untyped_storage()._cdata, {})[name] = parameter.detach()
    found: dict[str, list[str]] = {}
    for tensors in by_storage.values():
        for (name, own), (other, theirs) in permutations(tensors.items(), 2):
            if overlap(own, theirs):
                found.setdefault(name, []).append(other)
    return found


def overlap(one: Tensor, other: Tensor) -> bool:
    ranges = [
        (t.storage_offset(), t.storage_offset() + sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True)))
        for t in (one, other)
    ]
    if max(start for start, _ in ranges) > min(end for _, end in ranges) or 0 in (one.numel(), other.numel()):
        return False
    places = torch.arange(one.untyped_storage().nbytes() // one.itemsize)
    entries = [places.as_strided(t.shape, t.stride(), t.storage_offset()).flatten() for t in (one, other)]
    return bool(torch.isin(*entries).any())


def ignored_layers(model: nn.Module, layers_to_ignore: Iterable[str]) -> set[str]:
    """Return the prunable parameters that ``layers_to_ignore`` names.

    Its entries are names of parameters (``"conv.weight"``), of layers (``"conv"``) or of modules that contain layers
    (``"blocks.0"``), or patterns of them (``"*.shortcut"``; ``*`` matches dots too).

    Raises:
        UsageError: if an entry matches nothing.
    """
    names = prunable(model).keys()
    return {name for pattern in layers_to_ignore for name in matching(names, pattern, "layers_to_ignore")}


def layer_fractions(names: Collection[str], entries: Iterable[str]) -> dict[str, float]:
    """Return the fraction that a level prunes of each layer that has one of its own.

    Entries are as ``"fc:0.1"``: a name or pattern as for :func:`ignored_layers`, and a fraction; of several that match
    a layer the last one counts.

    Raises:
        UsageError: if an entry matches nothing.
    """
    split = map(split_fraction, entries)
    return {name: fraction for pattern, fraction in split for name in matching(names, pattern, "layer_fractions")}


def split_fraction(entry: str) -> tuple[str, float]:
    """Return pattern and fraction of ``"fc:0.1"``; raise ``UsageError`` for another text."""
    pattern, _, text = entry.rpartition(":")
    try:
        fraction = float(text)
    except ValueError:
        fraction = -1
    if not pattern or not 0 <= fraction < 1:
        raise UsageError(f"--layer_fractions={entry}: expected a layer and a fraction in [0, 1), such as fc:0.1")
    return pattern, fraction


def matching(names: Collection[str], pattern: str, flag: str) -> list[str]:
    """Return the parameters that a pattern means, or a module around them; raise ``UsageError`` if there is none."""
    matched = [name for name in names if any(fnmatchcase(member, pattern) for member in ancestors(name))]
    if not matched:
        layers = [name.removesuffix(".weight") for name in names]
        meant = near_misses(pattern, layers)
        raise UsageError(f"--{flag}={pattern}: no such layer{meant}; layers: {', '.join(layers)}")
    return matched


def ancestors(name: str) -> list[str]:
    """Return a parameter's name and those of all modules around it: ``a.b.weight`` gives ``a``, ``a.b``,
    ``a.b.weight``."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
