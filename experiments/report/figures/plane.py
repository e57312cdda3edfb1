"""The figure of error and loss on the plane through the start and two children."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from experiments.report.collect import Index
from experiments.report.figures.drawing import columns
from experiments.report.figures.fit import add_legend
from experiments.report.figures.palette import COLOURS, GREY, new_figure
from experiments.report.tables import grouped
from foundations.formats import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVELS = 10
"""Contours."""
HIGHEST = 0.9
"""The share of the points whose values the contours tell apart; the rest is far away from any trained network."""
RANGE = 1000
"""Between the highest contour and the lowest, at most."""
ANALYSES = 6
"""In a figure, at most; of more those of the first replicate."""
PANEL = 3.1
"""The width of a panel in inches, about."""
MARKS = {"start": "s", "child 1": "o", "child 2": "^"}


class Map(NamedTuple):
    """What is drawn on the plane."""

    split: str
    column: str
    label: str
    scale: float


MAPS = (
    Map("test", "error", "test error (%)", 100),
    Map("train", "loss", "training cross entropy (nats)", 1),
)


def plane(points: Sequence[Row], places: Sequence[Row], network: str, index: Index) -> "Figure":
    """Draw contours of the test error and of the training loss, side by side; below each other those of several k."""
    analyses = grouped(points, index.column, "replicate")
    if len(analyses) > ANALYSES:
        analyses = [own for own in analyses if own[0]["replicate"] == analyses[0][0]["replicate"]][:ANALYSES]
    heights = [max(0.9, PANEL * extent(own, "y") / extent(own, "x")) for own in analyses]
    figure = new_figure(8.4, 0.8 + sum(heights) + 0.8 * len(analyses))
    panels = figure.subplots(len(analyses), len(MAPS), squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, own in zip(panels, analyses, strict=True):
        here = [row for row in places if all(row[name] == own[0][name] for name in (index.column, "replicate"))]
        for axis, shown in zip(axes, MAPS, strict=True):
            draw_map(axis, [row for row in own if row["split"] == shown.split], shown)
            draw_places(axis, here)
            axis.set_title(f"{index.title.format_map(own[0])}, replicate {own[0]['replicate']}: {shown.label}")
            axis.set_xlabel("from the start towards child 1 (L2)")
        axes[0].set_ylabel("across, towards child 2 (L2)")
    add_legend(figure, *panels[0][0].get_legend_handles_labels())
    figure.suptitle(f"{network}: on the plane through the start and two children", fontsize=10)
    return figure


def extent(rows: Sequence[Row], name: str) -> float:
    values = [float(row[name]) for row in rows]
    return max(values) - min(values)


def draw_map(axis: "Axes", rows: Sequence[Row], shown: Map) -> None:
    """Draw filled contours of a grid in geometric steps; a value that is not finite leaves a hole."""
    import matplotlib
    import numpy as np
    from matplotlib.colors import BoundaryNorm

    xs, ys = (sorted({row[name] for row in rows}) for name in ("x", "y"))
    values = {(row["x"], row["y"]): row[shown.column] for row in rows}
    grid = np.array([[np.nan if values[x, y] is None else shown.scale * values[x, y] for x in xs] for y in ys])
    if np.isnan(grid).all():
        return
    high = max(float(np.nanquantile(grid, HIGHEST)), 1e-9)
    low = min(max(float(np.nanmin(grid)), high / RANGE), 0.9 * high)
    levels, colours = np.geomspace(low, high, LEVELS), matplotlib.colormaps["cividis"]
    filled = axis.contourf(
        xs, ys, np.maximum(grid, low), levels=levels, cmap=colours, extend="max",
        norm=BoundaryNorm(levels, colours.N, extend="max"),
    )  # fmt: skip
    axis.contour(xs, ys, grid, levels=levels[1:], colors="white", linewidths=0.4, alpha=0.6)
    axis.figure.colorbar(filled, ax=axis, format="%.2g")
    axis.set_aspect("equal")
    axis.grid(visible=False)
    axis.set_xlim(xs[0], xs[-1])
    axis.set_ylim(ys[0], ys[-1])


def draw_places(axis: "Axes", places: Sequence[Row]) -> None:
    """Draw the three networks that span the plane, and the trunk's path, projected."""
    trunk = [row for row in places if row["place"] == "trunk"]
    if trunk:
        axis.plot(
            *columns(trunk, "x", "y"), color=GREY, marker=".", markersize=4, linewidth=0.8,
            label="trunk's saved epochs, projected", zorder=4,
        )  # fmt: skip
    for (name, mark), colour in zip(MARKS.items(), ("black", COLOURS[1], COLOURS[3]), strict=True):
        [row] = [row for row in places if row["place"] == name]
        axis.plot(
            [row["x"]], [row["y"]], color=colour, marker=mark, markersize=8, markeredgecolor="white", linestyle="none",
            label=name, zorder=5, clip_on=False,
        )  # fmt: skip
