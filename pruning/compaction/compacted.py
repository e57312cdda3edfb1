"""A network at its true size, and the way between its tensors and those of the full network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.mask import Mask

Place = tuple[Tensor | None, ...]
"""Where a small tensor lies in the full one: the indices along each of the first axes, None for a whole axis."""


@dataclass(frozen=True, eq=False)
class Compacted:
    """What :func:`pruning.compaction.compact` makes.

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
    places: Mapping[str, Place]
    snapshot: Mapping[str, Tensor]
    removed: Mapping[str, tuple[Tensor, ...]]

    def shrink(self, full: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The small network's part of a full network's tensors (parameters, buffers or anything shaped like them)."""
        return {name: take(tensor, self.places.get(name, ())) for name, tensor in full.items()}

    def expand(self, small: Mapping[str, Tensor], snapshot: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The inverse of :meth:`shrink`: what was taken out is as in ``snapshot``, by default that of compaction."""
        snapshot = self.snapshot if snapshot is None else snapshot
        return {name: put(tensor, self.places.get(name, ()), snapshot[name]) for name, tensor in small.items()}

    def shrink_optimizer(self, full: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
        """``optimizer.state_dict()`` for an optimizer of the small network, from one of the full network.

        Args:
            full: the state of the full network's optimizer.
            names: the parameters' names in the order in which both optimizers number them; by default all that
                require gradients, in the model's order.
        """

        def shrunk(name: str, key: str, value: Tensor) -> Tensor:
            return take(value, self.places.get(name, ()) if value.shape == self.snapshot[name].shape else ())

        return self._converted(full, shrunk, names or self._trained())

    def expand_optimizer(
        self, small: Mapping[str, Any], snapshot: Mapping[str, Any], names: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """The inverse: what was taken out is as in ``snapshot``, a state of the full network's optimizer, or zero."""
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


def take(full: Tensor, place: Place) -> Tensor:
    """The part of a tensor that the small network has.

    Args:
        full: a tensor of the full network, of any shape and on any device.
        place: the indices along its first axes; the axes that it does not name stay whole.

    Returns:
        A copy, with the memory format of ``full``.
    """
    part = full.clone()
    for axis, indices in enumerate(place):
        if indices is not None:
            part = part.index_select(axis, indices.to(full.device))
    return part.contiguous(memory_format=memory_format(full))


def put(part: Tensor, place: Place, full: Tensor) -> Tensor:
    """The inverse of :func:`take`: the full network's tensor with a part of it replaced.

    Args:
        part: a tensor of the small network.
        place: where it belongs; () for one that is whole, which is returned as it is.
        full: what stands everywhere else, with the shape of the full network's tensor.

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
    """The memory format in which ``tensor`` is contiguous."""
    channels_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format
