"""The figure of what a criterion for k saw along the dense training."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from experiments.report.figures.drawing import columns, finish
from experiments.report.figures.palette import COLOURS, GREY, MARKERS, cycle, new_figure
from experiments.report.tables import CSV, as_csv
from experiments.runs.naming import text
from experiments.runs.searches import Found
from foundations.formats import Row
from foundations.hparams import as_text
from foundations.steps import Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = {"early_bird": "largest distance between masks", "early_crop": r"$|d_t - d_{t-1}|$ of the weights"}
"""Of the value that has to become small, by criterion; a plug-in's is called like it."""


def criteria_figures(found: Sequence[Found]) -> "dict[str, tuple[list[Found], Callable[[], Figure]]]":
    """Return by file name the searches of a figure, which are the replicates of a criterion, and what draws it."""
    groups: dict[tuple[str, str], list[Found]] = {}
    for one in found:
        if one.curve:
            groups.setdefault((one.network, one.criterion), []).append(one)
    several = len({network for network, _ in groups}) > 1
    return {
        "_".join([file_name(criterion), *([file_name(network)] if several else [])]): (group, partial(curve, group))
        for (network, criterion), group in groups.items()
    }


def curve_csv(found: Sequence[Found]) -> CSV:
    """Return a row for each replicate and step: value, threshold, and the distances to the masks of earlier steps."""
    rows = [
        {"replicate": one.run.replicate, **point, **({"masks": as_text(point["masks"])} if "masks" in point else {})}
        for one in found for point in one.curve["points"]
    ]  # fmt: skip
    columns = ("replicate", "k", "epoch", "value", "threshold", "masks")
    return as_csv(rows, [name for name in columns if any(name in row for row in rows)])


def file_name(name: str) -> str:
    return "_".join("".join(c if c.isalnum() or c in "._" else " " for c in name).split())


def curve(found: Sequence[Found]) -> "Figure":
    """Draw the value at each step with its threshold, and how far each two masks are apart if masks were compared."""
    distances = [point["masks"] for point in found[0].curve["points"] if "masks" in point]
    figure = new_figure(7.2 if distances else 4.4, 3.0)
    panels = figure.subplots(1, 2 if distances else 1, squeeze=False)[0]
    draw_values(panels[0], found)
    if distances:
        draw_distances(panels[1], found[0])
    finish(figure, f"{found[0].criterion}: {found[0].network}")
    return figure


def draw_values(axis: "Axes", found: Sequence[Found]) -> None:
    """Draw a curve for each replicate, with a ring at k; a threshold that all have in common is drawn once."""
    shared = len({one.curve["points"][-1]["threshold"] for one in found}) == 1
    for one, colour, marker in zip(found, cycle(COLOURS), cycle(MARKERS), strict=False):
        points = [point for point in one.curve["points"] if point["value"] is not None]
        replicate = f"replicate {one.run.replicate}, " if len(found) > 1 else ""
        label = replicate + ("no k" if one.curve["k"] is None else f"k = {Step(one.curve['k']).short}")
        axis.plot(*columns(points, "epoch", "value"), color=colour, marker=marker, markersize=4, label=label)
        if one.curve["k"] is not None:
            last = points[-1]
            axis.plot(last["epoch"], last["value"], marker="o", markersize=11, color=colour, fillstyle="none")
        if not shared:
            draw_threshold(axis, one.curve["points"], colour)
    if shared:
        longest = max(found, key=lambda one: len(one.curve["points"]))
        draw_threshold(axis, longest.curve["points"], GREY)
    if len(found) == 1:
        draw_neighbours(axis, found[0].curve["points"])
    axis.set_ylim(0, 1.08 * axis.get_ylim()[1])
    axis.set_xlim(0, 1.05 * max(point["epoch"] for one in found for point in one.curve["points"]))
    axis.locator_params(axis="x", integer=True)
    axis.set_xlabel("dense training (epochs)")
    name = found[0].found["criterion"]
    axis.set_ylabel(LABELS.get(name, name))


def draw_neighbours(axis: "Axes", points: Sequence[Row]) -> None:
    """Draw how far masks are from the ones just before, which is known earlier than the largest distance."""
    compared = [point for point in points if point.get("masks")]
    if compared:
        epochs, distances = columns(compared, "epoch", "masks")
        last = [some[-1] for some in distances]
        axis.plot(epochs, last, color=GREY, marker=".", linewidth=0.9, label="to the mask before")


def draw_threshold(axis: "Axes", points: Sequence[Row], colour: str) -> None:
    """Draw the threshold, from the step on at which it is known."""
    known = [point for point in points if point["threshold"] is not None]
    if known:
        label = f"threshold ({text(known[0]['threshold'])[:6]})"
        axis.plot(*columns(known, "epoch", "threshold"), color=colour, linestyle=":", linewidth=1.2, label=label)


def draw_distances(axis: "Axes", one: Found) -> None:
    """Draw how far the masks of each two steps are apart, as shades."""
    points = one.curve["points"]
    size = len(points)
    square = [[0.0] * size for _ in points]
    for row, point in enumerate(points):
        for column, value in enumerate(point["masks"]):
            square[row][column] = square[column][row] = value
    drawn = axis.imshow(square, cmap="cividis", vmin=0, origin="lower", interpolation="nearest")
    every = max(1, -(-size // 6))
    places = list(range(every - 1, size, every))
    names = [f"{points[place]['epoch']:g}" for place in places]
    axis.set_xticks(places, names)
    axis.set_yticks(places, names)
    axis.grid(visible=False)
    axis.set_xlabel("mask after (epochs)")
    axis.set_ylabel("mask after (epochs)")
    bar = axis.figure.colorbar(drawn, ax=axis, shrink=0.85)
    bar.set_label("share of weights that differ")
