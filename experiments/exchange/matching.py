"""Whose weight is whose: from the names of other programs to those of our model."""

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from experiments.exchange.reading import Network, Tensors, is_mask
from experiments.options import BY_NAME, BY_ORDER
from foundations.errors import UsageError
from pruning import Mask, prunable
from training.imported import load_weights

COUNTER = "num_batches_tracked"
"""BatchNorm's counter of batches, which has no part in what the network computes."""


def put_into(model: nn.Module, network: Network, match: str = BY_NAME, names: str = "") -> Mask | None:
    """Makes ``model`` the network, not masked; its mask, or None if it has none.

    Args:
        model: of the architecture.
        network: what was read.
        match: by names, or by the order and the shapes of the tensors.
        names: a JSON file of names or beginnings of names, theirs and ours.

    Raises:
        UsageError: weights or masks do not fit the model, or prune what cannot be pruned here.
    """
    own = {name: value for name, value in model.state_dict().items() if not name.endswith(COUNTER)}
    theirs = {name: value for name, value in network.weights.items() if not name.endswith(COUNTER)}
    if match == BY_ORDER:
        if not network.in_order:
            raise UsageError("--match=order: a safetensors file does not keep the order of a network; give --names")
        theirs, pairs = in_order(theirs, own)
    else:
        renamed = read_names(names)
        pairs = {name: rename(name, renamed) for name in (*theirs, *network.masks)}
    weights = {pairs[name]: value for name, value in theirs.items()}
    load_weights(model, weights, f"{network.files[0].name}{hint(theirs, own, network, match)}")
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise UsageError(f"{network.files[0].name}: {name} has values that are not finite")
    return mask_of(model, {pairs.get(name, name): value for name, value in network.masks.items()})


def read_names(file: str) -> Mapping[str, str]:
    """Their names, or beginnings of them, and ours."""
    if not file:
        return {}
    try:
        entries = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"--names={file}: {getattr(error, 'strerror', None) or 'no JSON'}") from error
    if not isinstance(entries, dict) or not all(isinstance(value, str) for value in entries.values()):
        raise UsageError(f'--names={file}: expected an object of names such as {{"blocks.0": "layer1.0"}}')
    return entries


def rename(name: str, renamed: Mapping[str, str]) -> str:
    """A name with its longest beginning that is renamed in our form; a beginning ends at a dot."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if (ours := renamed.get(".".join(parts[:end]))) is not None:
            return ".".join([ours, *parts[end:]])
    return name


def in_order(theirs: Tensors, own: Mapping[str, Tensor]) -> tuple[Tensors, dict[str, str]]:
    """Their tensors, and the name of each of ours by theirs in the same place.

    The last parts of the names (``weight``, ``running_mean``) and the shapes must be the same in every place.

    Raises:
        UsageError: they are not; the first place is named.
    """
    if len(theirs) != len(own):
        theirs = without_idle_biases(theirs)
    for (name, value), (mine, wanted) in zip(theirs.items(), own.items(), strict=False):
        if kind_of(name, value) != kind_of(mine, wanted):
            they, we = ([each, tuple(tensor.shape)] for each, tensor in ((name, value), (mine, wanted)))
            raise UsageError(f"--match=order: {they[0]} {they[1]} stands where --model has {we[0]} {we[1]}")
    if len(theirs) != len(own):
        raise UsageError(f"--match=order: there are {len(theirs)} tensors for {len(own)} of --model")
    return theirs, dict(zip(theirs, own, strict=True))


def kind_of(name: str, value: Tensor) -> tuple[str, tuple[int, ...]]:
    """What tensors in one place have in common."""
    return name.rpartition(".")[2], tuple(value.shape)


def without_idle_biases(tensors: Tensors) -> Tensors:
    """The tensors without biases of convolutions that BatchNorm takes away again.

    BatchNorm subtracts the mean, and a bias shifts the mean alone: without it, and with the running mean less it, the
    network is the same, in training as well.
    """
    found, names = dict(tensors), list(tensors)
    for place, name in enumerate(names[4:]):
        weight, bias = names[place], names[place + 1]
        follows = [each.rpartition(".")[2] for each in names[place : place + 5]]
        if follows == ["weight", "bias", "weight", "bias", "running_mean"] and tensors[weight].dim() == 4:
            found[name] = tensors[name] - found.pop(bias)
    return found


def hint(theirs: Tensors, own: Mapping[str, Tensor], network: Network, match: str) -> str:
    """What is said behind a file's name if its names do not fit but its order does."""
    if match == BY_ORDER or theirs.keys() == own.keys() or not network.in_order:
        return ""
    try:
        in_order(theirs, own)
    except UsageError:
        return ""
    return " (whose tensors fit by order and shape: --match=order)"


def mask_of(model: nn.Module, masks: Mapping[str, Tensor]) -> Mask | None:
    """The mask of the model's prunable weights, whole where there is none; None if nothing is pruned.

    Raises:
        UsageError: values other than 0 and 1, another shape, or something that cannot be pruned here.
    """
    weights = prunable(model)
    entries = {}
    for name, value in masks.items():
        if not is_mask(value):
            raise UsageError(f"The mask of {name} holds other values than 0 and 1")
        if name in weights:
            entries[name] = value.double() == 1
        elif not (value.double() == 1).all():
            known = name in model.state_dict()
            what = "no weight of a convolution or linear layer" if known else "not in --model"
            raise UsageError(f"The mask of {name} prunes what cannot be pruned here: it is {what}")
    whole = Mask.ones(model)
    mask = Mask({name: entries.get(name, whole[name]) for name in weights})
    mask.check(model)
    if not mask.kept:
        raise UsageError("The mask keeps no weight at all")
    return None if mask.kept == mask.total else mask
