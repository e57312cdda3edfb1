"""Figures of measurements: against the density or k, and against each other."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

from experiments.report.collect import BY_LEVEL, Analyses
from experiments.report.figures.drawing import averaged, density_axis, k_axis, legend_columns, styled, values_band
from experiments.report.figures.lottery import in_series
from experiments.report.figures.palette import GREY, new_figure
from experiments.report.figures.stability import by_network
from experiments.report.numbers import Mean, mean_of, measured_numbers, shown_names
from experiments.report.replicates import Replicates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
PANELS = 12
"""At most; of pairs those with the test accuracy come first."""
ACCURACY = "test accuracy (%)"


def measured_figures(lines: Sequence[Replicates], varied: Sequence[str]) -> "dict[str, Callable[[], Figure]]":
    """Return what draws each figure of what was measured of subnetworks, by its file's name; none without a number."""
    if not shown_names(line.measured for line in lines if line.values and not line.is_full):
        return {}
    figures = {"measurements": against_density, "measurements_pairs": against_each_other}
    return {name: partial(draw, lines, varied) for name, draw in figures.items()}


def against_density(lines: Sequence[Replicates], varied: Sequence[str]) -> "Figure":
    """Each number against the density; bands: the interval over replicates."""
    pruned = [line for line in lines if not line.is_full and line.measured]
    series = in_series(pruned, varied)

    def draw(axes: "Axes", name: str) -> None:
        for label, group, colour, marker in styled(series):
            ordered = sorted(group, key=lambda line: -line.density)
            found = [(100 * line.density, mean) for line in ordered if (mean := quantity(line, name))]
            values_band(axes, [(x, mean.value, mean.half) for x, mean in found], colour, label, marker)
        density_axis(axes, {line.density for line in pruned})
        axes.set_ylabel(name)

    return in_panels(shown_names(line.measured for line in pruned), draw)


def against_each_other(lines: Sequence[Replicates], varied: Sequence[str]) -> "Figure":
    """The test accuracy and the numbers of subnetworks, each against each; bars: the interval over replicates."""
    known = [line for line in lines if line.measured and line.values]
    series = in_series(known, varied)
    names = [ACCURACY, *shown_names(line.measured for line in known)]
    pairs = {f"{y} against {x}": (x, y) for y, x in combinations(names, 2)}

    def draw(axes: "Axes", pair: str) -> None:
        across, up = pairs[pair]
        for label, group, colour, marker in styled(series):
            both = [(x, y) for line in group if (x := quantity(line, across)) and (y := quantity(line, up))]
            axes.errorbar(
                [x.value for x, _ in both], [y.value for _, y in both], xerr=[x.half for x, _ in both],
                yerr=[y.half for _, y in both], color=colour, marker=marker, markersize=5, linestyle="none",
                elinewidth=0.9, label=label,
            )  # fmt: skip
        axes.set_xlabel(across)
        axes.set_ylabel(up)

    return in_panels(list(pairs), draw)


def over_analyses(rows: Analyses) -> "Figure":
    """Each number of instability analyses against k, or of levels against the density; bands: standard deviation."""

    def draw(axes: "Axes", name: str) -> None:
        for network, own, colour, marker in styled(by_network(rows, rows.analyses)):
            values_band(axes, averaged(own, name, rows.index), colour, network, marker)
        if rows.index is BY_LEVEL:
            density_axis(axes, {row["density"] for row in rows.analyses})
        else:
            k_axis(axes, rows.analyses)
        axes.set_ylabel(name)

    return in_panels(shown_names([measured_numbers(rows.analyses)]), draw)


def quantity(line: Replicates, name: str) -> Mean | None:
    return mean_of([100 * value for value in line.values] if name == ACCURACY else line.measured.get(name, ()))


def in_panels(names: Sequence[str], draw: Callable[["Axes", str], None]) -> "Figure":
    """Return a panel for each name, of more than ``PANELS`` for the first of them, and one legend below."""
    shown = names[:PANELS]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(0.6 + 2.8 * columns, 0.7 + 2.3 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    handles: dict[str, Any] = {}
    for axes, name in zip(grid.flat, shown, strict=False):
        draw(axes, name)
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    if len(names) > PANELS:
        figure.suptitle(f"the first {PANELS} of {len(names)}", fontsize=8, color=GREY)
    if handles:
        most = legend_columns(figure, handles)
        figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=most)
    return figure
