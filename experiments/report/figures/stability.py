"""Figures of instability analyses."""

import re
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.report.collect import BY_LEVEL, Analyses, Index
from experiments.report.figures.drawing import (
    annotate,
    averaged,
    band,
    density_axis,
    finish,
    how_many,
    in_panels,
    k_axis,
    labelled,
    styled,
    threshold_line,
    treatments,
)
from experiments.report.figures.fit import add_legend
from experiments.report.figures.palette import DASHES, GREY, SPLIT_COLOURS, new_figure
from experiments.report.figures.plane import plane
from experiments.report.tables import grouped
from foundations.formats import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5


class Quantity(NamedTuple):
    """What is drawn against alpha."""

    column: str
    label: str
    scale: float


ERROR, LOSS = Quantity("error", "error (%)", 100), Quantity("loss", "cross entropy (nats)", 1)


def interpolation(lines: Sequence[Row], network: str, index: Index) -> "Figure":
    """Draw error and, below it, loss along the line between every two children, a column for each k or level."""
    places = grouped(sorted(lines, key=lambda row: row[index.column]), index.column)
    shown = treatments(lines)
    columns = min(COLUMNS, len(places))
    blocks = -(-len(places) // columns)
    figure = new_figure(max(4.6, 1.1 + 1.75 * columns), 0.75 + 3.3 * blocks)
    panels = figure.subplots(2 * blocks, columns, sharex=True, squeeze=False)
    for panel in panels.flat:
        panel.set_visible(False)
    for quantity in (ERROR, LOSS):
        values = [row[quantity.column] for row in lines if row[quantity.column] is not None]
        top = quantity.scale * max(values, default=1 / quantity.scale)
        for place, rows in enumerate(places):
            axes = panels[2 * (place // columns) + (quantity is LOSS)][place % columns]
            axes.set_visible(True)
            draw_lines(axes, [row for row in rows if row["batchnorm"] in shown], quantity)
            axes.set_ylim(0, 1.05 * top or 1)
            name_axes(axes, quantity, left=place % columns == 0, lowest=place + columns >= len(places))
            if quantity is ERROR:
                axes.set_title(index.title.format_map(rows[0]))
    splits = {row["split"] for row in lines}
    handles = legend(splits, shown)
    add_legend(figure, handles, [handle.get_label() for handle in handles])
    figure.suptitle(f"{network}: on the line between two children", fontsize=10)
    return figure


def draw_lines(axes: "Axes", rows: Sequence[Row], quantity: Quantity) -> None:
    """Draw a curve for each pair, split and BatchNorm treatment; a value that is not finite leaves a gap."""
    for series in grouped(rows, "replicate", "first_child", "second_child", "split", "batchnorm"):
        values = [row[quantity.column] for row in series]
        axes.plot(
            [row["alpha"] for row in series],
            [float("nan") if value is None else quantity.scale * value for value in values],
            color=SPLIT_COLOURS[series[0]["split"]], linestyle=DASHES[series[0]["batchnorm"]],
            linewidth=1.2, alpha=0.85,
        )  # fmt: skip


def name_axes(axes: "Axes", quantity: Quantity, *, left: bool, lowest: bool) -> None:
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(labelleft=left, labelbottom=quantity is LOSS)
    if left:
        axes.set_ylabel(quantity.label)
    if quantity is LOSS and lowest:
        axes.set_xlabel(r"$\alpha$ (0, 1: the children)")


def legend(splits: Container[str], shown: Sequence[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=SPLIT_COLOURS[split], linestyle=DASHES[treatment], label=labelled(split, treatment, shown))
        for split in SPLIT_COLOURS
        if split in splits
        for treatment in shown
    ]


SPLIT_TITLES = {"test": "test set", "train": "training set", "validation": "validation set"}


def figures(rows: Analyses) -> dict[str, Callable[[], "Figure"]]:
    """Return what draws each figure, by its file's name. Only drawing imports matplotlib."""
    lines, points, places = (by_network(rows, table) for table in (rows.lines, rows.plane, rows.places))
    makers: dict[str, Callable[[], Figure]] = {}
    for network in lines:
        suffix = "" if len(lines) == 1 else "_" + "_".join(re.findall(r"[\w.]+", network))
        makers[f"interpolation{suffix}"] = partial(interpolation, lines[network], network, rows.index)
        if points[network]:
            makers[f"plane{suffix}"] = partial(plane, points[network], places[network], network, rows.index)
    makers[f"barrier_by_{rows.index.name}"] = partial(barrier_by_index, rows)
    makers["barrier_against_gap"] = partial(barrier_against_gap, rows)
    makers["accuracy"] = partial(accuracy, rows)
    return makers


def by_network(rows: Analyses, table: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows of one of the tables by network, the full network first."""
    names = {row["network"] for row in rows.analyses}
    order = sorted(names, key=lambda name: (not name.startswith("full network"), name))
    return {name: [row for row in table if row["network"] == name] for name in order}


def barrier_by_index(rows: Analyses) -> "Figure":
    """Draw the error barrier with its deviation against k, or the density of the levels, a panel for each split."""
    splits = [split for split in SPLIT_TITLES if any(f"{split}_error_barrier_raw" in row for row in rows.pairs)]
    figure = new_figure(3.6 * len(splits), 3.0)
    panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    for axis, split in zip(panels, splits, strict=True):
        draw_barriers(axis, rows, split)
        threshold_line(axis, rows)
        axis.set_title(SPLIT_TITLES[split])
        if rows.index is BY_LEVEL:
            density_axis(axis)
        else:
            k_axis(axis, rows.analyses)
    panels[0].set_ylim(bottom=0)  # after both are drawn: it ends the scaling of the shared axis
    panels[0].set_ylabel("error barrier (percentage points)")
    finish(figure, how_many(rows))
    return figure


def draw_barriers(axis: "Axes", rows: Analyses, split: str) -> None:
    """Draw a curve for each network and treatment of BatchNorm."""
    shown = treatments(rows.lines)
    for network, own, style in styled(by_network(rows, rows.pairs), rows.order):
        for treatment in shown:
            points = averaged(own, f"{split}_error_barrier_{treatment}", rows.index)
            axis.errorbar(
                [at for at, _, _ in points], [100 * value for _, value, _ in points],
                yerr=[[100 * min(value, deviation) for _, value, deviation in points],  # none is below 0
                      [100 * deviation for _, _, deviation in points]], linestyle=DASHES[treatment],
                color=style["color"], marker=style["marker"], markersize=4.5, capsize=2, elinewidth=0.9,
                markerfacecolor=style["color"] if treatment == "raw" else "white", clip_on=False, zorder=3,
                label=labelled(network, treatment, shown),
            )  # fmt: skip


def barrier_against_gap(rows: Analyses) -> "Figure":
    """Draw error barriers against what children lack of the full network's accuracy, a point for each analysis."""
    figure = new_figure(4.8, 3.4)
    axis = figure.subplots()
    marked = draw_points(axis, rows)
    threshold_line(axis, rows)
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.margins(x=0.12, y=0.08)
    axis.autoscale_view()
    axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
    axis.set_xlabel("accuracy that children lack (percentage points)")
    axis.set_ylabel("test error barrier (percentage points)")
    finish(figure, f"beside the points: {rows.index.name}")
    annotate(axis, [(*point, colour) for colour, points in marked for point in points])
    return figure


def draw_points(axis: "Axes", rows: Analyses) -> list[tuple[str, list[tuple[float, float, str]]]]:
    """Draw the points of each network; return its colour with (gap, barrier, mark) of each."""
    marked: list[tuple[str, list[tuple[float, float, str]]]] = []
    for network, own, style in styled(by_network(rows, rows.analyses), rows.order):
        points = [
            (100 * row["accuracy_gap"], 100 * row["test_error_barrier_raw"], rows.index.mark.format_map(row))
            for row in own
            if row["test_error_barrier_raw"] is not None
        ]
        axis.plot(
            [x for x, _, _ in points], [y for _, y, _ in points], **{**style, "linestyle": "none"}, markersize=5.5,
 alpha=0.8, label=network, clip_on=False, zorder=3,
        )  # fmt: skip
        marked.append((style["color"], points))
    return marked


def accuracy(rows: Analyses) -> "Figure":
    """Draw test accuracy over training, a panel for each network: children of each k or level and the full network."""

    def draw(axes: "Axes", network: str) -> None:
        draw_trainings(axes, rows, network)
        axes.set(title=network, xlabel="training (epochs)", ylabel="test accuracy (%)")
        axes.locator_params(axis="x", integer=True)

    return in_panels(list(by_network(rows, rows.analyses)), draw, sharey=True, size=(2.6, 2.5))


def draw_trainings(axis: "Axes", rows: Analyses, network: str) -> None:
    """Draw a band for the full network, and one for the children of each k or level."""
    import matplotlib

    trunks = {row["trunk"] for row in rows.analyses if row["network"] == network}
    full = [row for row in rows.training if not row["child"] and row["trunk"] in trunks]
    band(axis, full, "black", "full network, no branch", 1.6)
    children, column = [row for row in rows.training if row["child"]], rows.index.column
    starts = sorted({row[column] for row in children})
    shades = matplotlib.colormaps["cividis"]
    for place, start in enumerate(starts):
        own = [row for row in children if row["network"] == network and row[column] == start]
        shade = shades(0.92 * place / max(1, len(starts) - 1))  # by rank, since k's are often dense near 0
        band(axis, own, shade, rows.index.children.format_map({column: start}), 1.1)
