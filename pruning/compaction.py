"""Subnetworks at their true size: channels that cannot influence the output are taken out, exactly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from pruning.channels import ChannelGraph, places_of
from pruning.graph import channel_graph
from pruning.mask import Mask
from pruning.operations import BATCHNORMS, CONVOLUTIONS, INSTANCENORMS
from pruning.same_function import perturbed, same_function
from pruning.weight_use import copied

Kept = dict[int, Tensor]
"""For each group of channels, (channels,) bool: which stay."""


def kept_channels(graph: ChannelGraph, mask: Mapping[str, Tensor], round_to: int) -> Kept:
    """Return the channels to keep: those that can influence the output, and as many more as make the widths round.

    A channel matters if a kept weight leads from it to a channel that matters; otherwise neither its value gets to
    the output nor a gradient to it. (Kept weights *into* it are not needed: BatchNorm's shift is influence enough.)
    A depthwise convolution leads from each channel to itself alone. Those kept for the sake of a round width are
    asked for the same, so that no kept weight leads from a channel taken out to one that stays, whose statistics then
    stay right, too.
    """
    connections = {
        layer.name: connected(mask[f"{layer.name}.weight"].cpu(), graph.sizes[layer.reads])
        for layer in graph.layers
        if layer.reads is not None and layer.blocks == 1
    }
    kept = {group: torch.full((size,), group in graph.whole) for group, size in graph.sizes.items()}
    spread(graph, connections, kept)
    while any(widen(graph, connections, kept, group, round_to) for group in kept):
        spread(graph, connections, kept)
    return kept


def connected(mask: Tensor, channels: int) -> Tensor:
    """Return (outputs, channels) bool: from which input channels a kept weight leads to which output."""
    return mask.reshape(len(mask), channels, -1).any(2)


def spread(graph: ChannelGraph, connections: Mapping[str, Tensor], kept: Kept) -> None:
    """Keep whatever leads to a channel that is kept, until nothing new is found."""
    found = True
    while found:
        found = False
        for layer in reversed(graph.layers):
            if layer.reads is not None and layer.name in connections:
                needed = connections[layer.name][kept[layer.writes]].any(0) & ~kept[layer.reads]
                kept[layer.reads] |= needed
                found |= bool(needed.any())


def widen(graph: ChannelGraph, connections: Mapping[str, Tensor], kept: Kept, group: int, round_to: int) -> bool:
    """Round a group's width up, first by channels that need no others; return whether anything was to do."""
    size, width = graph.sizes[group], int(kept[group].sum())
    missing = min(size, -(-max(width, 1) // round_to) * round_to) - width
    if missing == 0:
        return False
    needs = torch.zeros(size, dtype=torch.int64)
    for layer in graph.layers:
        if layer.writes == group and layer.reads is not None and layer.name in connections:
            needs += (connections[layer.name] & ~kept[layer.reads]).sum(1)
    needs[kept[group]] = torch.iinfo(torch.int64).max
    kept[group][needs.argsort(stable=True)[:missing]] = True
    return True


Indices = tuple[Tensor | None, ...]
"""Where a small tensor lies in the full one: the indices along each of the first axes, None for a whole axis."""


@dataclass(frozen=True, eq=False)
class Compacted:
    """What :func:`compact` makes.

    Args:
        model: the small network.
        mask: the mask of its weights.
        places: where its parameters and buffers lie in those of the full network, by name; whole ones are left out.
        snapshot: parameters and buffers of the full network when it was compacted.
        removed: where in the full network's parameters the weights lie that were taken out though the mask keeps
            them (those that lead into a channel taken out), and the channels' biases and parameters of BatchNorm;
            indices along all axes, by name. No gradient gets to them: in masked training, too, it is zero.
    """

    model: nn.Module
    mask: Mask
    places: Mapping[str, Indices]
    snapshot: Mapping[str, Tensor]
    removed: Mapping[str, tuple[Tensor, ...]]

    def shrink(self, full: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the small network's part of a full network's tensors, or of anything shaped like them."""
        return {name: take(tensor, self.places.get(name, ())) for name, tensor in full.items()}

    def expand(self, small: Mapping[str, Tensor], snapshot: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return the inverse of :meth:`shrink`; what was taken out is as in ``snapshot``, by default the own one."""
        snapshot = self.snapshot if snapshot is None else snapshot
        return {name: put(tensor, self.places.get(name, ()), snapshot[name]) for name, tensor in small.items()}

    def shrink_optimizer(self, full: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the ``state_dict()`` of an optimizer of the small network, from one of the full network."""

        def shrunk(name: str, key: str, value: Tensor) -> Tensor:
            return take(value, self.places.get(name, ()) if value.shape == self.snapshot[name].shape else ())

        return self._converted(full, shrunk, names or self._trained())

    def expand_optimizer(
        self, small: Mapping[str, Any], snapshot: Mapping[str, Any], names: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Invert :meth:`shrink_optimizer`; what was taken out is as in ``snapshot``, the full state, or zero."""
        before, names = snapshot["state"], names or self._trained()
        shapes = {name: parameter.shape for name, parameter in self.model.named_parameters()}
        numbers = {name: number for number, name in enumerate(names)}

        def expanded(name: str, key: str, value: Tensor) -> Tensor:
            if name not in self.places or value.shape != shapes[name]:
                return value
            original = before.get(numbers[name], {}).get(key)
            if original is None:  # an optimizer that had not yet made a step
                original = torch.zeros_like(self.snapshot[name], dtype=value.dtype)
            return put(value, self.places[name], original)

        return self._converted(small, expanded, names)

    def _trained(self) -> list[str]:
        return [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]

    @staticmethod
    def _converted(
        state: Mapping[str, Any], convert: Callable[[str, str, Tensor], Tensor], names: Sequence[str]
    ) -> dict[str, Any]:
        per_parameter = {
            number: {
                key: convert(names[number], key, value) if isinstance(value, Tensor) else value
                for key, value in entries.items()
            }
            for number, entries in state["state"].items()
        }
        return {**state, "state": per_parameter}


def take(full: Tensor, place: Indices) -> Tensor:
    """Return the part of a tensor that the small network has.

    Returns:
        A copy, with the memory format of ``full``.
    """
    part = full.clone()
    for axis, indices in enumerate(place):
        if indices is not None:
            part = part.index_select(axis, indices.to(full.device))
    return part.contiguous(memory_format=memory_format(full))


def put(part: Tensor, place: Indices, full: Tensor) -> Tensor:
    """Invert :func:`take`: return the full network's tensor with a part of it replaced.

    Returns:
        A copy of ``full`` on the part's device, with the memory format of ``full``.
    """
    if not place:
        return part
    result = full.to(part.device, copy=True)
    axes = [
        (torch.arange(size) if indices is None else indices).to(part.device)
        for size, indices in zip(full.shape, place, strict=False)
    ]
    # Each axis' indices along a dimension of their own, so that together they stand for all their combinations.
    result[tuple(axis.reshape(-1, *[1] * (len(axes) - number)) for number, axis in enumerate(axes, 1))] = part
    return result


def memory_format(tensor: Tensor) -> torch.memory_format:
    channels_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def compact(model: nn.Module, mask: Mask, round_to: int = 8, example: Tensor | None = None) -> Compacted:
    """Return the masked ``model`` without the channels whose every outgoing weight is pruned, directly or further on.

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
        example: inputs, (N, channels, height, width), on which the small network is compared with the masked one.

    Raises:
        UsageError: the model cannot be traced, the mask does not fit it, or the small network computes another
            function.
    """
    mask.check(model)
    graph = channel_graph(model)
    kept = kept_channels(graph, mask, round_to)
    compacted = without_channels(model, mask, graph, kept)
    if example is not None and compacted.places and not is_exact(model, mask, compacted, example):
        others = {group: torch.ones_like(channels) for group, channels in kept.items()}
        wrong = [group for group in kept if not kept[group].all() and not is_exact(
            model, mask, without_channels(model, mask, graph, {**others, group: kept[group]}), example
        )]  # fmt: skip
        names = ", ".join(name for group in wrong or kept for name in graph.writers(group))
        raise UsageError(f"{type(model).__name__} without the pruned channels of {names} computes another function")
    return compacted


def without_channels(model: nn.Module, mask: Mask, graph: ChannelGraph, kept: Kept) -> Compacted:
    places = find_places(model, graph, kept)
    snapshot = {name: value.detach().clone() for name, value in model.state_dict().items()}
    small = copied(model)
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


def is_exact(model: nn.Module, mask: Mask, compacted: Compacted, example: Tensor) -> bool:
    """Return whether the small network computes what the masked one does, whatever their weights.

    The way back needs no forward pass: what is expanded and shrunk again has to be the same.
    """
    full = perturbed(model.state_dict())
    for name, kept in mask.items():
        full[name] *= kept.cpu()
    small = compacted.shrink(full)
    snapshot = {name: tensor.to("cpu", full[name].dtype) for name, tensor in compacted.snapshot.items()}
    expanded = compacted.expand(small, snapshot)
    again = compacted.shrink(expanded)
    is_way_back = all(torch.equal(again[name].nan_to_num(), small[name].nan_to_num()) for name in small)
    return is_way_back and same_function(model, full, compacted.model, small, example, training=True)


def find_removed(
    small: nn.Module, mask: Mask, places: Mapping[str, Indices], full: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, ...]]:
    removed = {}
    for name, parameter in small.named_parameters():
        if name in places:
            kept = mask[name].to(parameter.device) if name in mask else torch.ones_like(full[name], dtype=torch.bool)
            outside = put(torch.zeros_like(parameter, dtype=torch.bool), places[name], kept)
            if outside.any():
                removed[name] = outside.cpu().nonzero(as_tuple=True)
    return removed


def find_places(model: nn.Module, graph: ChannelGraph, kept: Kept) -> dict[str, Indices]:
    """Return where the small network's tensors lie in the full ones, for those that shrink."""
    indices = {group: channels.nonzero().flatten() for group, channels in kept.items() if not channels.all()}
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    found: dict[str, dict[int, Tensor]] = {}
    for axis in graph.axes:
        if axis.tensor in tensors and axis.group in indices:
            positions = tensors[axis.tensor].shape[axis.number] // graph.sizes[axis.group]
            found.setdefault(axis.tensor, {})[axis.number] = places_of(indices[axis.group], positions)
    return {name: tuple(axes.get(number) for number in range(max(axes) + 1)) for name, axes in found.items()}


def correct_width(module: nn.Module) -> None:
    if isinstance(module, CONVOLUTIONS):
        if module.groups > 1:  # depthwise; other grouped convolutions stay whole
            module.groups = len(module.weight)
        module.out_channels, module.in_channels = len(module.weight), module.weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, BATCHNORMS + INSTANCENORMS):
        module.num_features = len(module.running_mean if module.weight is None else module.weight)
