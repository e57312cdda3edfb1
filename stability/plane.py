"""Error and loss on the plane through the start and two children."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from foundations import files
from foundations.steps import Step
from pruning import Mask
from stability.children import Children
from stability.distances import flat
from stability.interpolation import Meter, batchnorms, check_alike, even_alphas
from stability.rows import SPLITS, Result, read_table, write_table
from training.segments import load_network
from training.state import TrainState

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
    arXiv 1802.10026, appendix A.1). Masked weights are 0 on all of it if they are in all three networks. ``names`` are
    the tensors that count for distances: the parameters.
    """

    def __init__(
        self, model: nn.Module, start: Tensors, first: Tensors, second: Tensors, names: Collection[str]
    ) -> None:
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
        """Return the working network, become ``W(x, y)``."""
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
        """Return where a network's projection on the plane lies, and how far away the network is."""
        away = flat(tensors, self.names) - self.origin
        x, y = float(away @ self.e1), float(away @ self.e2)
        return Coordinates(x, y, float((away - x * self.e1 - y * self.e2).norm()))

    def grid(self, count: int) -> list[tuple[float, float]]:
        """Return ``count`` x ``count`` points of a rectangle around the three networks, row by row."""
        xs, ys = (0.0, self.width, self.along), (0.0, self.height)
        return [(x, y) for y in spaced(ys, count) for x in spaced(xs, count)]


def spaced(values: Sequence[float], count: int) -> list[float]:
    """Return evenly spaced numbers from below the lowest value to above the highest."""
    margin = MARGIN * (max(values) - min(values))
    low, high = min(values) - margin, max(values) + margin
    return [low + (high - low) * share for share in even_alphas(count)]


@dataclass(frozen=True)
class PlanePoint(Result):
    """A point of the grid, on one split. BatchNorm's statistics are its own, as those in between mean nothing."""

    x: float
    """L2 distance from the start along the way to the first child."""
    y: float
    """L2 distance from that line, towards the second child."""
    split: str
    examples: int
    """Images measured on."""
    batchnorm_examples: int
    """Training images that the statistics were computed from; 0 without BatchNorm."""
    error: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class Landmark:
    """A network that lies on the plane, or above it: then where it would lie."""

    place: str
    """Whose it is: ``start``, ``child 1``, ``child 2``, or ``trunk``."""
    step: str
    x: float
    y: float
    distance: float
    """From the plane, L2."""


@dataclass(frozen=True, eq=False)
class Landscape:
    """The plane through the start and the first two children."""

    children: Children
    mask: Mask | None
    trained: Mapping[int, Tensors]
    meter: Meter

    def write(self, count: int) -> None:
        """Write ``plane.csv``, a grid with ``count`` points a side, and ``plane_places.csv``.

        Both are empty, and that is said, if the three networks lie on one line.
        """
        here, state = self.children.here, self.children.start()
        names = [name for name, _ in state.model.named_parameters()]
        start = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
        plane = Plane(state.model, start, self.trained[1], self.trained[2], names)
        if not plane.spanned:
            self.children.trunk.context.reporter.warn(f"{here.path}: start and children lie on a line, not on a plane")
        places = self.places(plane, state, start) if plane.spanned else ()
        write_table(here, files.PLANE_PLACES, Landmark, places)
        self.measure(plane, count if plane.spanned else 0)

    def measure(self, plane: Plane, count: int) -> None:
        """Measure error and loss at every point of the grid; new ones go to ``plane.csv`` after each row of it."""
        here, meter = self.children.here, self.meter
        normalized = bool(batchnorms(plane.model))
        recalculated_from = meter.recalculated_from if normalized else 0
        known = {point.key: point for point in read_table(here, files.PLANE, PlanePoint)}
        asked = {
            place: [PlanePoint(*place, split, meter.examples[split], recalculated_from) for split in SPLITS]
            for place in plane.grid(count)
        }
        points = {point.key: known.get(point.key) for some in asked.values() for point in some}

        def keep() -> None:
            write_table(here, files.PLANE, PlanePoint, [point for point in points.values() if point is not None])

        with self.children.trunk.context.reporter.progress("plane", len(asked), "points") as advance:
            for number, (place, some) in enumerate(asked.items(), start=1):
                if any(points[point.key] is None for point in some):
                    model = plane.go_to(*place)
                    if normalized:
                        meter.recalculate(model)
                    points |= {point.key: point.with_result(**meter.measure(model, point.split)) for point in some}
                    if number % count == 0:
                        keep()
                advance(1)
        keep()

    def places(self, plane: Plane, state: TrainState, start: Tensors) -> Iterator[Landmark]:
        """Yield start, children, and the trunk's saved networks, masked as the start is."""
        per_epoch, end = self.children.trunk.per_epoch, self.children.hparams.training_steps
        begin = Step.at(state.iteration, per_epoch)
        yield Landmark("start", begin.short, *plane.coordinates(start))
        for number in (1, 2):
            yield Landmark(f"child {number}", end.short, *plane.coordinates(self.trained[number]))
        for iteration, tensors in self.of_trunk(state.iteration, start, plane.names):
            yield Landmark("trunk", Step.at(iteration, per_epoch).short, *plane.coordinates(tensors))

    def of_trunk(self, begin: int, start: Tensors, names: Collection[str]) -> Iterator[tuple[int, Tensors]]:
        """Yield the trunk's saved networks; none if it does not lead to the start, as that of a checkpoint does not."""
        trunk = self.children.trunk
        if not trunk.saved.has(begin):
            return
        at_start = self.masked(begin)
        if any(not at_start[name].equal(start[name].cpu()) for name in names):
            return
        for iteration in sorted({begin, *trunk.grid()}):
            if trunk.saved.has(iteration):
                yield iteration, self.masked(iteration)

    def masked(self, iteration: int) -> dict[str, Tensor]:
        trunk = self.children.trunk
        model = trunk.fresh().model
        load_network(trunk.store, files.model(Step.at(iteration, trunk.per_epoch)), model)
        if self.mask is not None:
            self.mask.apply_(model)
        return {name: tensor.cpu() for name, tensor in model.state_dict().items()}
