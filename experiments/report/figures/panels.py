"""Figures of lottery runs with a panel for each density: accuracy and masks over training, and what layers keep."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from experiments.report.figures.drawing import Curve, band, in_panels, log_ticks, room_above
from experiments.report.figures.lottery import left_out, settings
from experiments.report.replicates import Replicates
from experiments.report.tables import grouped
from foundations.formats import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 6
NAMED_LAYERS = 8  # more names would lie over each other


def accuracy_over_training(lines: Sequence[Replicates], varied: Sequence[str], curves: Sequence[Row]) -> "Figure":
    """Draw test accuracy over the training of the subnetworks, and of the full network."""
    by_path = by_paths(curves)
    full = {rows[0]["trunk"]: rows for rows in grouped((row for row in curves if not row["level"]), "trunk")}

    def draw(axes: "Axes", shown: Sequence[Curve[Replicates]]) -> None:
        own = [(curve, of_line(by_path, curve.value)) for curve in shown]
        for trunk in list(dict.fromkeys(row["trunk"] for _, rows in own for row in rows[:1]))[:1]:
            band(axes, full.get(trunk, []), "black", "full network", 1.3)
        for (name, _, style), rows in own:
            band(axes, rows, style["color"], name, 1.3, dashes=style["linestyle"], marker=style["marker"])
        axes.set(xlabel="training (epochs)", ylabel="test accuracy (%)")
        axes.locator_params(axis="x", integer=True)
        room_above(axes)

    return by_density(lines, varied, draw)


def kept_by_layer(lines: Sequence[Replicates], varied: Sequence[str], layers: Sequence[Row]) -> "Figure":
    """Draw the density of each layer, on a logarithmic axis; means over replicates. An empty layer leaves a gap."""
    by_path = by_paths(layers)

    def draw(axes: "Axes", shown: Sequence[Curve[Replicates]]) -> None:
        names: dict[str, None] = {}
        for name, line, style in shown:
            kept: dict[str, list[float]] = {}
            for row in of_line(by_path, line):
                kept.setdefault(row["layer"], []).append(100 * row["kept"] / row["total"])
            names |= dict.fromkeys(kept)
            axes.plot(
                range(len(kept)), [fmean(own) or float("nan") for own in kept.values()], **style, markersize=4,
                label=name,
            )  # fmt: skip
        axes.set_yscale("log")
        axes.set_ylabel("weights kept (%)")
        if len(names) <= NAMED_LAYERS:
            axes.set_xticks(range(len(names)), [name.removesuffix(".weight") for name in names])
        axes.set_xlabel("layer" if len(names) <= NAMED_LAYERS else "layer, from input to output")
        axes.margins(x=0.08)

    figure = by_density(lines, varied, draw)
    log_ticks(figure.axes[0].yaxis)  # which all panels share
    return figure


def masks_over_training(lines: Sequence[Replicates], varied: Sequence[str], updates: Sequence[Row]) -> "Figure":
    """Draw what masks keep over training, and, dashed, the weights that were ever kept until then."""
    by_path = by_paths(updates)

    def draw(axes: "Axes", shown: Sequence[Curve[Replicates]]) -> None:
        for name, line, style in shown:
            rows, look = of_line(by_path, line), {"colour": style["color"], "width": 1.3, "stays": True}
            band(axes, rows, label=name, value="density", **look)
            band(axes, rows, label=f"{name}: ever", value="ever_active", dashes="--", **look)
        axes.set(xlabel="training (epochs)", ylabel="weights (%)")
        axes.locator_params(axis="x", integer=True)
        axes.set_ylim(bottom=0)
        room_above(axes)

    return by_density(lines, varied, draw)


def by_paths(rows: Sequence[Row]) -> dict[Any, list[Row]]:
    return {own[0]["path"]: own for own in grouped(rows, "path")}


def of_line(by_path: Mapping[Any, Sequence[Row]], line: Replicates) -> list[Row]:
    return [row for path in line.paths for row in by_path.get(path, ())]


def by_density(lines: Sequence[Replicates], varied: Sequence[str], draw: Any) -> "Figure":
    """Return a panel for each density of each data set and model: of the densities that most curves share.

    ``draw(axes, curves)`` gets the curves of a panel, each with the line that it has there.
    """
    panels: dict[str, list[Curve[Replicates]]] = {}
    for setting in settings(lines, varied).values():
        found: dict[str, list[Curve[Replicates]]] = {}
        for name, group, style in setting.curves():
            for line in group:
                found.setdefault(line.kept_text, []).append(Curve(name, line, style))
        largest = {density: max(curve.value.density for curve in own) for density, own in found.items()}
        chosen = sorted(found, key=lambda density: (-len(found[density]), -largest[density]))[:PANELS]
        before = f"{setting.title}: " if setting.title else ""
        for density in sorted(chosen, key=largest.__getitem__, reverse=True):
            panels[f"{before}{density} kept"] = found[density]

    def drawn(axes: "Axes", title: str) -> None:
        draw(axes, panels[title])
        axes.set_title(title)

    return in_panels(list(panels), drawn, sharey=True, heading=left_out(lines, varied))
