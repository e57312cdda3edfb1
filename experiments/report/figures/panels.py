"""Figures of lottery runs with a panel for each density: accuracy and masks over training, and what layers keep."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from experiments.report.figures.drawing import band, legend_columns, room_above, styled
from experiments.report.figures.lottery import Series, in_series
from experiments.report.figures.palette import new_figure
from experiments.report.replicates import Replicates
from experiments.report.tables import grouped
from foundations.formats import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS, COLUMNS = 6, 3
NAMED_LAYERS = 8  # more names would lie over each other


def accuracy_over_training(lines: Sequence[Replicates], varied: Sequence[str], curves: Sequence[Row]) -> "Figure":
    """Draw test accuracy over the training of the subnetworks, and of the full network."""
    full = [row for row in curves if not row["level"]]

    def draw(axes: "Axes", line: Replicates, name: str, colour: str, marker: str) -> None:
        band(axes, of_line(curves, line), colour, name, 1.3)

    def begin(axes: "Axes") -> None:
        for rows in grouped(full, "trunk"):
            band(axes, rows, "black", "full network", 1.3)
        axes.set_xlabel("training (epochs)")

    pruned = in_series([line for line in lines if not line.is_full], varied)
    figure, panels = in_panels(pruned, "test accuracy (%)", begin, draw)
    room_above(panels[0])  # they share the axis
    return figure


def kept_by_layer(lines: Sequence[Replicates], varied: Sequence[str], layers: Sequence[Row]) -> "Figure":
    """Draw the density of each layer, on a logarithmic axis; means over replicates. An empty layer leaves a gap."""
    names = list(dict.fromkeys(row["layer"] for row in layers))

    def draw(axes: "Axes", line: Replicates, name: str, colour: str, marker: str) -> None:
        rows = of_line(layers, line)
        means = [100 * fmean([row["kept"] / row["total"] for row in rows if row["layer"] == layer] or [0])
                 for layer in names]  # fmt: skip
        axes.plot(
            range(len(names)), [mean or float("nan") for mean in means], color=colour, marker=marker, markersize=4,
            label=name,
        )  # fmt: skip

    def begin(axes: "Axes") -> None:
        axes.set_yscale("log")
        short = [name.removesuffix(".weight") for name in names]
        if len(names) <= NAMED_LAYERS:
            axes.set_xticks(range(len(names)), short)
        else:
            axes.set_xlabel("layer, from input to output")
        axes.margins(x=0.08)

    pruned = in_series([line for line in lines if not line.is_full], varied)
    return in_panels(pruned, "weights kept (%)", begin, draw)[0]


def masks_over_training(lines: Sequence[Replicates], varied: Sequence[str], updates: Sequence[Row]) -> "Figure":
    """Draw what masks keep over training, and, dashed, the weights that were ever kept until then."""

    def draw(axes: "Axes", line: Replicates, name: str, colour: str, marker: str) -> None:
        rows = of_line(updates, line)
        band(axes, rows, colour, name, 1.3, "density", stays=True)
        band(axes, rows, colour, f"{name}: ever", 1.3, "ever_active", dashes="--", stays=True)

    def begin(axes: "Axes") -> None:
        axes.set_xlabel("training (epochs)")

    figure, panels = in_panels(in_series(lines, varied), "weights (%)", begin, draw)
    panels[0].set_ylim(bottom=0)  # they share the axis
    room_above(panels[0])
    return figure


def of_line(rows: Sequence[Row], line: Replicates) -> list[Row]:
    paths = set(line.paths)
    return [row for row in rows if row["path"] in paths]


def in_panels(series: Series, ylabel: str, begin: Any, draw: Any) -> "tuple[Figure, list[Axes]]":
    """Return a panel for each density, in which each strategy has its own colour.

    ``begin(axis)`` is called before anything is drawn in a panel, ``draw(axis, line, name, colour, marker)`` for each
    line there; ``ylabel`` names the panels on the left.
    """
    by_density = densities(series)
    columns = min(COLUMNS, len(by_density))
    rows = -(-len(by_density) // columns)
    figure = new_figure(1.2 + 2.4 * columns, 0.7 + 2.1 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    styles = {name: style for name, _, *style in styled(series)}
    handles: dict[str, Any] = {}
    for axes, (density, members) in zip(grid.flat, by_density.items(), strict=False):
        begin(axes)
        for name, line in members.items():
            draw(axes, line, name, *styles[name])
        axes.set_title(f"{density} kept")
        axes.set_ylabel(ylabel)
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    for axes in grid.flat[len(by_density):]:
        axes.set_visible(False)
    for axes in grid.flat:
        axes.label_outer()
    most = min(COLUMNS + 1, legend_columns(figure, handles))
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=most)
    return figure, list(grid.flat[: len(by_density)])


def densities(series: Series) -> dict[str, Mapping[str, Replicates]]:
    """Return the lines of each density by the name of their curve; of the densities that most curves share."""
    found: dict[str, dict[str, Replicates]] = {}
    for name, group in series.items():
        for line in group:
            found.setdefault(line.kept_text, {})[name] = line
    largest = {density: max(line.density for line in own.values()) for density, own in found.items()}
    chosen = sorted(found, key=lambda density: (-len(found[density]), -largest[density]))[:PANELS]
    return {density: found[density] for density in sorted(chosen, key=largest.__getitem__, reverse=True)}
