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
        moment: parameters and buffers of the full network at the moment of compaction. What was taken out keeps
            these values.
    """

    model: nn.Module
    mask: Mask
    places: Mapping[str, Place]
    moment: Mapping[str, Tensor]

    def shrink(self, full: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The small network's part of a full network's tensors (parameters, buffers or anything shaped like them)."""
        return {name: take(tensor, self.places.get(name, ())) for name, tensor in full.items()}

    def expand(self, small: Mapping[str, Tensor], moment: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The inverse of :meth:`shrink`: what was taken out is as in ``moment``, by default that of compaction."""
        moment = self.moment if moment is None else moment
        return {name: put(tensor, self.places.get(name, ()), moment[name]) for name, tensor in small.items()}

    def shrink_optimizer(self, full: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
        """``optimizer.state_dict()`` for an optimizer of the small network, from one of the full network.

        Args:
            full: the state of the full network's optimizer.
            names: the parameters' names in the order in which both optimizers number them; by default all that
                require gradients, in the model's order.
        """

        def shrunk(name: str, key: str, value: Tensor) -> Tensor:
            return take(value, self.places.get(name, ()) if value.shape == self.moment[name].shape else ())

        return self._converted(full, shrunk, names or self._trained())

    def expand_optimizer(
        self, small: Mapping[str, Any], moment: Mapping[str, Any], names: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """The inverse: what was taken out is as in ``moment``, a state of the full network's optimizer, or zero."""
        before, names = moment["state"], names or self._trained()
        shapes = {name: parameter.shape for name, parameter in self.model.named_parameters()}
        numbers = {name: number for number, name in enumerate(names)}

        def expanded(name: str, key: str, value: Tensor) -> Tensor:
            if name not in self.places or value.shape != shapes[name]:
                return value
            original = before.get(numbers[name], {}).get(key)
            if original is None:  # an optimizer that had not yet made a step
                original = torch.zeros_like(self.moment[name], dtype=value.dtype)
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
    """A copy of the part of ``full`` at ``place``, in the same memory layout."""
    part = full.clone()
    for axis, indices in enumerate(place):
        if indices is not None:
            part = part.index_select(axis, indices.to(full.device))
    return part.contiguous(memory_format=layout(full))


def put(part: Tensor, place: Place, full: Tensor) -> Tensor:
    """A copy of ``full`` with ``part`` at ``place``, on the part's device."""
    if not place:
        return part
    result = full.to(part.device, copy=True)
    axes = [
        torch.arange(size) if indices is None else indices
        for size, indices in zip(full.shape, [*place, *[None] * (full.dim() - len(place))], strict=True)
    ]
    grid = torch.meshgrid(*axes, indexing="ij")
    result[tuple(index.to(part.device) for index in grid)] = part
    return result


def layout(tensor: Tensor) -> torch.memory_format:
    """The memory format that ``tensor`` is contiguous in."""
    channels_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format
