"""The figures of an instability analysis, drawn from its rows with matplotlib."""

import io
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from stability.collect import BY_LEVEL, Index, Rows, TableRow
from stability.drawing import (
    COLOURS,
    COLUMNS,
    DASHES,
    GREY,
    MARKERS,
    SPLIT_COLOURS,
    annotate,
    averaged,
    band,
    cycle,
    density_axis,
    grouped,
    how_many,
    in_order,
    labelled,
    threshold_line,
    treatments,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEGEND_WIDTH = 115  # characters across a figure of 7.2 inches
STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8, "xtick.labelsize": 8,
    "ytick.labelsize": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#DDDDDD", "grid.linewidth": 0.6, "lines.linewidth": 1.4, "legend.frameon": False,
    "axes.axisbelow": True, "svg.hashsalt": "stability", "figure.dpi": 100,
}  # fmt: skip


def figures(rows: Rows) -> dict[str, Callable[[], "Figure"]]:
    """What draws each figure, by its file's name. Only drawing imports matplotlib."""
    networks = in_order(row["network"] for row in rows.analyses)
    makers: dict[str, Callable[[], Figure]] = {}
    for network in networks:
        own = [row for row in rows.lines if row["network"] == network]
        suffix = "" if len(networks) == 1 else "_" + "_".join(re.findall(r"[\w.]+", network))
        makers[f"interpolation{suffix}"] = partial(interpolation, own, network, rows.index)
    makers[f"barrier_by_{rows.index.name}"] = partial(barrier_by_index, rows)
    makers["barrier_against_gap"] = partial(barrier_against_gap, rows)
    makers["accuracy"] = partial(accuracy, rows)
    return makers


def images(make: Callable[[], "Figure"]) -> dict[str, bytes]:
    """A figure as ``svg`` and ``png``; the same bytes for the same figure, since no date goes in.

    ``savefig`` would draw it four times and lay it out twice, which takes most of the time.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    svg, png = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure = make()
        figure.set_dpi(200)
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
        figure.set_layout_engine("none")  # it stays as it was laid out
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
    return {"svg": svg.getvalue(), "png": png.getvalue()}


def interpolation(lines: Sequence[TableRow], network: str, index: Index) -> "Figure":
    """Error and loss along the line between every two children, a column for each k or level."""
    from matplotlib.lines import Line2D

    places = grouped(sorted(lines, key=lambda row: row[index.column]), index.column)
    shown = treatments(lines)
    columns = min(COLUMNS, len(places))
    blocks = -(-len(places) // columns)
    figure = new_figure(max(4.6, 1.1 + 1.75 * columns), 0.75 + 3.3 * blocks)
    panels = figure.subplots(2 * blocks, columns, sharex=True, squeeze=False)
    for panel in panels.flat:
        panel.set_visible(False)
    for what, name, scale in (("error", "error (%)", 100), ("loss", "cross entropy (nats)", 1)):
        axes = [panels[2 * (place // columns) + (what == "loss")][place % columns] for place in range(len(places))]
        top = max((row[what] * scale for row in lines if row[what] is not None), default=1)
        for place, (axis, rows) in enumerate(zip(axes, places, strict=True)):
            axis.set_visible(True)
            own = [row for row in rows if row["batchnorm"] in shown]
            for series in grouped(own, "replicate", "first_child", "second_child", "split", "batchnorm"):
                first = series[0]
                axis.plot(
                    [row["alpha"] for row in series],
                    [float("nan") if row[what] is None else scale * row[what] for row in series],
                    color=SPLIT_COLOURS[first["split"]], linestyle=DASHES[first["batchnorm"]],
                    linewidth=1.2, alpha=0.85,
                )  # fmt: skip
            axis.set_ylim(0, 1.05 * top or 1)
            axis.set_xlim(0, 1)
            axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            if what == "error":
                axis.set_title(index.title.format_map(rows[0]))
            if place % columns == 0:
                axis.set_ylabel(name)
            else:
                axis.tick_params(labelleft=False)
            below = place + columns >= len(places)
            axis.tick_params(labelbottom=what == "loss")
            if what == "loss" and below:
                axis.set_xlabel(r"$\alpha$ (0, 1: the children)")
    handles = [
        Line2D([], [], color=SPLIT_COLOURS[split], linestyle=DASHES[treatment], label=labelled(split, treatment, shown))
        for split in SPLIT_COLOURS
        for treatment in shown
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    figure.suptitle(f"{network}: on the line between two children", fontsize=10)
    return figure


def barrier_by_index(rows: Rows) -> "Figure":
    """Error barrier against k, or against the density of the levels, with spread; on test and training set."""
    figure = new_figure(7.2, 3.4)
    panels = figure.subplots(1, 2, sharey=True)
    networks = in_order(row["network"] for row in rows.analyses)
    shown = treatments(rows.lines)
    for axis, split in zip(panels, ("test", "train"), strict=True):
        for network, colour, marker in zip(networks, cycle(COLOURS), cycle(MARKERS), strict=False):
            own = [row for row in rows.pairs if row["network"] == network]
            for treatment in shown:
                points = averaged(own, f"{split}_error_barrier_{treatment}", rows.index)
                axis.errorbar(
                    [at for at, _, _ in points], [100 * value for _, value, _ in points],
                    yerr=[[100 * min(value, deviation) for _, value, deviation in points],  # none is below 0
                          [100 * deviation for _, _, deviation in points]], linestyle=DASHES[treatment],
                    color=colour, marker=marker, markersize=4.5, capsize=2, elinewidth=0.9,
                    markerfacecolor=colour if treatment == "raw" else "white", clip_on=False, zorder=3,
                    label=labelled(network, treatment, shown),
                )  # fmt: skip
        threshold_line(axis, rows)
        axis.set_title(f"{'test' if split == 'test' else 'training'} set")
        if rows.index is BY_LEVEL:
            density_axis(axis, {row["density"] for row in rows.analyses})
        else:
            axis.set_xlabel("k: start of the children (epochs)")
    panels[0].set_ylim(bottom=0)  # after both are drawn: it ends the scaling of the shared axis
    panels[0].set_ylabel("error barrier (percentage points)")
    handles, labels = panels[0].get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda place: labels[place].startswith("threshold"))
    columns = max(1, LEGEND_WIDTH // (5 + max(map(len, labels))))
    figure.legend([handles[i] for i in order], [labels[i] for i in order], loc="outside lower center", ncols=columns)
    figure.set_figheight(3.0 + 0.17 * -(-len(labels) // columns))
    figure.suptitle(how_many(rows), fontsize=8, color=GREY)
    return figure


def barrier_against_gap(rows: Rows) -> "Figure":
    """Error barrier against the accuracy that is missing to the full network, a point for each analysis."""
    figure = new_figure(4.8, 3.8)
    axis = figure.subplots()
    networks = in_order(row["network"] for row in rows.analyses)
    marked: list[tuple[str, list[tuple[float, float, str]]]] = []
    for network, colour, marker in zip(networks, cycle(COLOURS), cycle(MARKERS), strict=False):
        own = [row for row in rows.analyses if row["network"] == network]
        own = [row for row in own if row["test_error_barrier_raw"] is not None]
        points = [
            (100 * row["accuracy_gap"], 100 * row["test_error_barrier_raw"], rows.index.mark.format_map(row))
            for row in own
        ]
        axis.plot(
            [x for x, _, _ in points], [y for _, y, _ in points], color=colour, marker=marker, linestyle="none",
            markersize=5.5, alpha=0.8, label=network, clip_on=False, zorder=3,
        )  # fmt: skip
        marked.append((colour, points))
    threshold_line(axis, rows)
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.margins(x=0.12, y=0.08)
    axis.autoscale_view()
    axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
    for colour, points in marked:
        annotate(axis, points, colour)
    axis.set_xlabel("accuracy gap: full network minus children (percentage points)")
    axis.set_ylabel("raw error barrier, test set (percentage points)")
    figure.suptitle(f"beside the points: {rows.index.name}", fontsize=8, color=GREY)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def accuracy(rows: Rows) -> "Figure":
    """Test accuracy over training, a panel for each network: the children of each k or level and the full network."""
    import matplotlib

    networks, column = in_order(row["network"] for row in rows.analyses), rows.index.column
    figure = new_figure(1.2 + 3.1 * len(networks), 3.5)
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    children = [row for row in rows.training if row["child"]]
    starts = sorted({row[column] for row in children})
    shades = matplotlib.colormaps["cividis"]
    trunk = [row for row in rows.training if not row["child"]]
    for axis, network in zip(panels, networks, strict=True):
        trunks = {row["trunk"] for row in rows.analyses if row["network"] == network}
        band(axis, [row for row in trunk if row["trunk"] in trunks], "black", "full network, no branch", 1.6)
        for place, start in enumerate(starts):
            own = [row for row in children if row["network"] == network and row[column] == start]
            shade = shades(0.92 * place / max(1, len(starts) - 1))  # by rank, since k's are often dense near 0
            band(axis, own, shade, rows.index.children.format_map({column: start}), 1.1)
        axis.set_title(network)
        axis.set_xlabel("training (epochs)")
    panels[0].set_ylabel("test accuracy (%)")
    handles: dict[str, Any] = {}
    for axis in panels:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside right center")
    return figure


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure; inches. It belongs to no window and to no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
