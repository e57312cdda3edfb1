"""The plane through three networks, moved over in place on the device."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stability.distances import flat
from stability.interpolation import check_alike, even_alphas

MARGIN = 0.25
"""Of the smallest rectangle around the three networks, on each of its sides."""
FLAT = 1e-6
"""The sine of the angle at the start below which three networks lie on one line."""
Tensors = Mapping[str, Tensor]


class Coordinates(NamedTuple):
    """Of a network: on the plane, and its distance from that."""

    x: float
    y: float
    distance: float


class Plane:
    """``W(x, y) = start + x e_1 + y e_2`` in the tensors of one working network.

    e_1 has the direction of ``first - start``, e_2 that of ``second - start`` without its part along e_1; both have
    length 1 in L2 over the parameters, so that distances on the plane are distances of weights (Garipov et al. 2018,
    arXiv 1802.10026, appendix A.1). Masked weights are 0 on all of it if they are in all three networks.
    """

    def __init__(
        self, model: nn.Module, start: Tensors, first: Tensors, second: Tensors, names: Collection[str]
    ) -> None:
        """
        Args:
            model: is moved over the plane.
            start: the network at (0, 0), tensors by name.
            first: likewise.
            second: likewise.
            names: the tensors that count for distances: the parameters.
        """
        for tensors in (first, second):
            check_alike(start, tensors)
        self.model, self.names = model, list(names)
        self.places = {name: tensor.detach() for name, tensor in model.state_dict().items()}
        self.start, self.first, self.second = (
            {name: tensors[name].to(place.device) for name, place in self.places.items()}
            for tensors in (start, first, second)
        )
        self.origin = flat(start, self.names)
        to_first, to_second = (flat(tensors, self.names) - self.origin for tensors in (first, second))
        self.width = float(to_first.norm())
        self.e1 = to_first / self.width
        self.along = float(to_second @ self.e1)
        across = to_second - self.along * self.e1
        self.height = float(across.norm())
        self.e2 = across / self.height
        self.spanned = self.width > 0 and self.height > FLAT * float(to_second.norm())

    @torch.no_grad()
    def go_to(self, x: float, y: float) -> nn.Module:
        """The working network, become ``W(x, y)``."""
        second = y / self.height
        first = (x - second * self.along) / self.width
        for name, place in self.places.items():
            start = self.start[name]
            if place.is_floating_point():
                place.copy_(start + first * (self.first[name] - start) + second * (self.second[name] - start))
            else:
                place.copy_(start)
        return self.model

    def coordinates(self, tensors: Tensors) -> Coordinates:
        """Where a network's projection on the plane lies, and how far away the network is."""
        away = flat(tensors, self.names) - self.origin
        x, y = float(away @ self.e1), float(away @ self.e2)
        return Coordinates(x, y, float((away - x * self.e1 - y * self.e2).norm()))

    def grid(self, count: int) -> list[tuple[float, float]]:
        """``count`` x ``count`` points of a rectangle around the three networks, row by row."""
        xs, ys = (0.0, self.width, self.along), (0.0, self.height)
        return [(x, y) for y in spaced(ys, count) for x in spaced(xs, count)]


def spaced(values: Sequence[float], count: int) -> list[float]:
    """Evenly spaced numbers from below the lowest value to above the highest."""
    margin = MARGIN * (max(values) - min(values))
    low, high = min(values) - margin, max(values) + margin
    return [low + (high - low) * share for share in even_alphas(count)]
