"""Matching the tensors of somebody else's network with those of our model."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from experiments.exchange.reading import Network, Tensors, is_mask
from experiments.options import BY_NAME, BY_ORDER
from foundations.errors import UsageError
from foundations.given import read_given_text
from models import ImageShape
from pruning import Mask, prunable
from pruning.weight_use import copied
from training.imported import listed as shown
from training.imported import load_weights

Say = Callable[[str], None]
Folded = dict[str, tuple[str, Tensor]]
HEADS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NOTICEABLE = 0.01
"""The share of weights that are zero from which on that is said."""

COUNTER = "num_batches_tracked"
"""BatchNorm's counter of batches, which has no part in what the network computes."""


def put_into(
    model: nn.Module, network: Network, match: str = BY_NAME, names: str = "", *, shape: ImageShape | None = None,
    replace_head: bool = False, say: Say = lambda text: None,
) -> Mask | None:  # fmt: skip
    """Load a network's weights into ``model``, unmasked, and return its mask.

    Args:
        model: of the architecture.
        network: what was read.
        match: by names, or by the order and the shapes of the tensors.
        names: a JSON file of names or beginnings of names, theirs and ours.
        shape: of the images; needed for the next.
        replace_head: leave the last layer of the model as it is drawn, whatever the file has for it.
        say: is told what was passed over.

    Returns:
        Its mask; None if it has none.

    Raises:
        UsageError: weights or masks do not fit the model, or prune what cannot be pruned here.
    """
    file = network.files[0].name
    head = head_of(model, shape) if replace_head and shape is not None else ()
    own = {name: value for name, value in model.state_dict().items() if not name.endswith(COUNTER)}
    theirs = {name: value for name, value in network.weights.items() if not name.endswith(COUNTER)}
    if match == BY_ORDER:
        if not network.in_order:
            raise UsageError("--match=order: a safetensors file does not keep the order of a network; give --names")
        theirs, pairs, folded = in_order(theirs, own, head)
        weights = {pairs[name]: value for name, value in theirs.items()}
        masks = {pairs.get(name, name): value for name, value in network.masks.items()}
    else:
        renamed, folded = read_names(names), {}
        weights = without_beginning({rename(name, renamed): value for name, value in theirs.items()}, own, file, say)
        masks = without_beginning({rename(name, renamed): value for name, value in network.masks.items()}, own)
    for name in head:
        weights.pop(name, None)
        masks.pop(name, None)
    load_weights(model, weights, f"{file}{hint(weights, own, network, match, replace_head)}", keep=head)
    for name, value in model.state_dict().items():
        if not value.isfinite().all():
            raise UsageError(f"{file}: {name} has values that are not finite")
    if head:
        say(f"The last layer is drawn anew: {', '.join(head)}")
    if shape is not None and folded:
        check_folded(model, {pairs[name]: (pairs[at], bias) for name, (at, bias) in folded.items()}, shape)
    return mask_of(model, masks, zeros=network.zeros, dense=head, say=say)


def head_of(model: nn.Module, shape: ImageShape) -> tuple[str, ...]:
    """Return the names of the parameters of the classifier: the last layer that is called."""
    called: list[str] = []
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, HEADS)}
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, layer in layers.items()
    ]
    run_on_noise(model, shape)
    for hook in hooks:
        hook.remove()
    if not called or shape.classes not in layers[called[-1]].weight.shape:
        raise UsageError("--replace_head: the network does not end in a linear or convolutional layer")
    return tuple(f"{called[-1]}.{name}" for name, _ in layers[called[-1]].named_parameters())


@torch.no_grad()
def run_on_noise(model: nn.Module, shape: ImageShape) -> Tensor:
    """Return the outputs of the network, in evaluation mode, for four images of noise."""
    images = torch.randn(4, shape.channels, shape.height, shape.width, generator=torch.Generator().manual_seed(0))
    parameter = next(model.parameters())
    was_training = model.training
    outputs: Tensor = model.eval()(images.to(parameter))
    model.train(was_training)
    return outputs


def without_beginning(
    tensors: Tensors, own: Collection[str], file: str = "", say: Say = lambda text: None
) -> Tensors:
    """Remove the prefix, such as ``model.``, that the file has before the names of our model.

    Raises:
        UsageError: there are several such prefixes: the file holds several networks.
    """
    hits: Counter[str] = Counter()
    for name in tensors:
        parts = name.split(".")
        for start in range(len(parts)):
            if ".".join(parts[start:]) in own:
                hits[name[: len(name) - len(".".join(parts[start:]))]] += 1
    enough = min(len(own), len(tensors)) / 2
    beginnings = [beginning for beginning, count in hits.items() if count == max(hits.values()) and count > enough]
    if not beginnings or "" in beginnings:
        return tensors
    if len(beginnings) > 1:
        listed = ", ".join(beginning.removesuffix(".") for beginning in beginnings)
        raise UsageError(f"{file}: it holds several networks, {listed}; save one of them alone")
    [beginning] = beginnings
    if others := [name for name in tensors if not name.startswith(beginning)]:
        say(f"Not part of the network, and left out: {shown(others)}")
    return {name.removeprefix(beginning): value for name, value in tensors.items() if name.startswith(beginning)}


def read_names(file: str) -> Mapping[str, str]:
    if not file:
        return {}
    try:
        entries = json.loads(read_given_text(Path(file), f"--names={file}"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--names={file}: no JSON") from error
    if not isinstance(entries, dict) or not all(isinstance(value, str) for value in entries.values()):
        raise UsageError(f'--names={file}: expected an object of names such as {{"blocks.0": "layer1.0"}}')
    return entries


def rename(name: str, renamed: Mapping[str, str]) -> str:
    """Replace the longest prefix of a name that is renamed; prefixes end at a dot."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if (ours := renamed.get(".".join(parts[:end]))) is not None:
            return ".".join(filter(None, [ours, *parts[end:]]))
    return name


def in_order(
    theirs: Tensors, own: Mapping[str, Tensor], head: Collection[str] = ()
) -> tuple[Tensors, dict[str, str], Folded]:
    """Match their tensors with ours by order.

    The last parts of the names (``weight``, ``running_mean``) and the shapes must be the same in every place, but for
    the shapes of the ``head``.

    Returns:
        Their tensors; the name of each of ours by theirs in the same place; and the biases taken out.

    Raises:
        UsageError: they are not; the first place is named.
    """
    folded: Folded = {}
    if len(theirs) != len(own):
        theirs, folded = without_idle_biases(theirs)
    for (name, value), (mine, wanted) in zip(theirs.items(), own.items(), strict=False):
        if mine not in head and kind_of(name, value) != kind_of(mine, wanted):
            they, we = ([each, tuple(tensor.shape)] for each, tensor in ((name, value), (mine, wanted)))
            raise UsageError(f"--match=order: {they[0]} {they[1]} stands where --model has {we[0]} {we[1]}")
    if len(theirs) != len(own):
        raise UsageError(f"--match=order: there are {len(theirs)} tensors for {len(own)} of --model")
    return theirs, dict(zip(theirs, own, strict=True)), folded


def kind_of(name: str, value: Tensor) -> tuple[str, tuple[int, ...]]:
    return name.rpartition(".")[2], tuple(value.shape)


def without_idle_biases(tensors: Tensors) -> tuple[Tensors, Folded]:
    """Remove the biases of convolutions before a BatchNorm, which cancels them.

    BatchNorm subtracts the mean, and a bias shifts the mean alone: without it, and with the running mean less it, the
    network is the same, in training as well.

    Returns:
        The other tensors; and by the name of a convolution's weight that of the running mean, and the bias.
    """
    found, names, folded = dict(tensors), list(tensors), {}
    for place, name in enumerate(names[4:]):
        weight, bias = names[place], names[place + 1]
        follows = [each.rpartition(".")[2] for each in names[place : place + 5]]
        if follows == ["weight", "bias", "weight", "bias", "running_mean"] and tensors[weight].dim() == 4:
            folded[weight] = name, tensors[bias]
            found[name] = tensors[name] - found.pop(bias)
    return found, folded


def check_folded(model: nn.Module, folded: Folded, shape: ImageShape) -> None:
    """Raise ``UsageError`` unless the network with the biases that were taken out computes the same, on noise."""
    without, whole = copied(model).double(), copied(model).double()
    for weight, (mean, bias) in folded.items():
        whole.get_submodule(weight.rpartition(".")[0]).bias = nn.Parameter(bias.double())
        whole.get_buffer(mean).add_(bias)
    ours, theirs = run_on_noise(without, shape), run_on_noise(whole, shape)
    if not torch.allclose(ours, theirs, rtol=1e-6, atol=1e-9 * float(theirs.abs().max())):
        raise UsageError("--match=order: biases of convolutions do not stand before BatchNorm in --model; give --names")


def hint(weights: Tensors, own: Mapping[str, Tensor], network: Network, match: str, replace_head: bool) -> str:
    """Return a hint for the error message if names do not match, but shapes or order do."""
    shapes = [name for name, value in weights.items() if name in own and value.shape != own[name].shape]
    if shapes and not replace_head and len({name.rpartition(".")[0] for name in shapes}) == 1:
        return " (--replace_head draws a last layer of another width anew)"
    if match == BY_ORDER or weights.keys() == own.keys() or not network.in_order:
        return ""
    try:
        in_order({name: value for name, value in network.weights.items() if not name.endswith(COUNTER)}, own)
    except UsageError:
        return ""
    return " (whose tensors fit by order and shape: --match=order)"


def mask_of(
    model: nn.Module, masks: Mapping[str, Tensor], *, zeros: bool, dense: Collection[str], say: Say
) -> Mask | None:
    """Return the mask of the model's prunable weights, whole where there is none; None if nothing is pruned.

    Args:
        model: with its weights.
        masks: what was read, by our names.
        zeros: whether weights that are zero are pruned, too.
        dense: names of weights that are not.
        say: is told which layers the masks leave out, and of zeros that no mask prunes.

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
    if masks and (lacking := [name for name in weights if name not in entries and name not in dense]):
        say(f"The mask has no entry for {shown(lacking)}: every weight there is kept")
    whole = Mask.ones(model)
    Mask({name: entries.get(name, whole[name]) for name in weights}).check(model)
    are_zero = {name: weight.detach().cpu() == 0 for name, weight in weights.items() if name not in dense}
    for name, where in are_zero.items():
        if zeros:
            entries[name] = entries.get(name, whole[name]) & ~where
    mask = Mask({name: entries.get(name, whole[name]) for name in weights})
    if mask.total and not mask.kept:
        raise UsageError("The mask keeps no weight at all")
    unpruned = sum(int((where & mask[name]).sum()) for name, where in are_zero.items())
    if unpruned > NOTICEABLE * mask.kept:
        say(f"{unpruned / mask.kept:.1%} of the weights that are kept are zero; --mask=zeros prunes them")
    return None if mask.kept == mask.total else mask
