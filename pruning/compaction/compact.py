"""From a masked network to one without the channels that cannot matter."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.compaction.channels import Kept, kept_channels
from pruning.compaction.compacted import Compacted, Place, put, take
from pruning.graph import BATCHNORMS, CONVOLUTIONS, ChannelGraph, channel_graph
from pruning.mask import Mask


def compact(model: nn.Module, mask: Mask, round_to: int = 8) -> Compacted:
    """The masked ``model`` without the channels whose every outgoing weight is pruned, directly or further on.

    They influence neither the output nor any gradient, so that the small network computes the same function, and
    has the same training trajectory under every optimizer that works weight by weight: exact up to the order of
    summation. ``model`` must be masked already; it is left untouched.

    Channels of one residual stream go together, when no reader of the stream needs them. Operations that are not
    known to treat each channel by itself (concatenations, grouped convolutions, dropout, layer norm, ...) leave the
    channels that they read and write whole.

    Args:
        model: a network of images, (N, channels, height, width).
        mask: which of its weights are kept.
        round_to: widths are rounded up to a multiple of it. Odd widths are slower than the full ones: vector units
            work on 8 or more channels at a time.

    Raises:
        UsageError: the model cannot be traced, or the mask does not fit it.
    """
    mask.check(model)
    graph = channel_graph(model)
    places = find_places(model, graph, kept_channels(graph, mask, round_to))
    snapshot = {name: value.detach().clone() for name, value in model.state_dict().items()}
    small = copy.deepcopy(model)
    for name, place in places.items():
        owner, _, attribute = name.rpartition(".")
        module = small.get_submodule(owner)
        tensor = getattr(module, attribute)
        part = take(tensor.detach(), place)
        is_parameter = isinstance(tensor, nn.Parameter)
        setattr(module, attribute, nn.Parameter(part, tensor.requires_grad) if is_parameter else part)
        correct_width(module)
    small_mask = Mask({name: take(entry, places.get(name, ())) for name, entry in mask.items()})
    return Compacted(small, small_mask, places, snapshot, find_removed(small, mask, places, snapshot))


def find_removed(
    small: nn.Module, mask: Mask, places: Mapping[str, Place], full: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, ...]]:
    """``Compacted.removed``, of the parameters that have any."""
    removed = {}
    for name, parameter in small.named_parameters():
        if name in places:
            kept = mask[name].to(parameter.device) if name in mask else torch.ones_like(full[name], dtype=torch.bool)
            outside = put(torch.zeros_like(parameter, dtype=torch.bool), places[name], kept)
            if outside.any():
                removed[name] = outside.cpu().nonzero(as_tuple=True)
    return removed


def find_places(model: nn.Module, graph: ChannelGraph, kept: Kept) -> dict[str, Place]:
    """Where the small network's parameters and buffers lie in the full ones, for those that shrink."""
    indices = {group: channels.nonzero().flatten() for group, channels in kept.items() if not channels.all()}
    tensors = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
    places: dict[str, Place] = {}
    for layer in graph.layers:
        written = indices.get(layer.writes)
        read = None if layer.reads is None else indices.get(layer.reads)
        if read is not None:
            assert layer.reads is not None
            inputs = model.get_parameter(f"{layer.name}.weight").shape[1]
            read = flat_indices(read, inputs // graph.sizes[layer.reads])
        places[f"{layer.name}.weight"] = (written, read)
        places[f"{layer.name}.bias"] = (written,)
    for name, group in graph.norms.items():
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            places[f"{name}.{tensor}"] = (indices.get(group),)
    return {
        name: place
        for name, place in places.items()
        if name in tensors and any(indices is not None for indices in place)
    }


def flat_indices(channels: Tensor, positions: int) -> Tensor:
    """Of each channel all its positions, as flattening lays them out."""
    return (channels[:, None] * positions + torch.arange(positions)).flatten()


def correct_width(module: nn.Module) -> None:
    """The numbers of channels that a layer shows and checks, from its tensors."""
    if isinstance(module, CONVOLUTIONS):
        module.out_channels, module.in_channels = module.weight.shape[:2]
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, BATCHNORMS):
        module.num_features = len(module.running_mean if module.weight is None else module.weight)
