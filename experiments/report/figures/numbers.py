"""Figures of measurements: against the density or k, and against each other."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

from experiments.report.collect import BY_LEVEL, Analyses
from experiments.report.figures.drawing import averaged, density_axis, in_panels, k_axis, styled, values_band
from experiments.report.figures.lottery import Setting, settings
from experiments.report.figures.stability import by_network
from experiments.report.numbers import Mean, mean_of, measured_numbers, shown_names
from experiments.report.replicates import Replicates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 12
"""At most; of pairs those with the test accuracy come first."""
SIZE = (2.8, 2.3)
ACCURACY = "test accuracy (%)"


def measured_figures(lines: Sequence[Replicates], varied: Sequence[str]) -> "dict[str, Callable[[], Figure]]":
    """Return what draws each figure of what was measured of subnetworks, by its file's name; none without a number."""
    if not shown_names(line.measured for line in lines if line.values and not line.is_full):
        return {}
    figures = {"measurements": against_density, "measurements_pairs": against_each_other}
    return {name: partial(draw, lines, varied) for name, draw in figures.items()}


def against_density(lines: Sequence[Replicates], varied: Sequence[str]) -> "Figure":
    """Each number against the density; bands: the interval over replicates."""
    panels: dict[str, tuple[Setting, str]] = {}
    for title, setting in settings(lines, varied).items():
        names = shown_names(line.measured for line in setting.lines if not line.is_full)
        panels |= {f"{title}: {name}": (setting, name) for name in names}

    def draw(axes: "Axes", panel: str) -> None:
        setting, name = panels[panel]
        for label, group, style in setting.curves(lambda line: quantity(line, name)):
            ordered = sorted(group, key=lambda line: -line.density)
            found = [(100 * line.asked, mean) for line in ordered if (mean := quantity(line, name))]
            values_band(axes, [(x, mean.value, mean.half) for x, mean in found], label, style)
        density_axis(axes)
        axes.set(ylabel=name, title=setting.title)

    return first_of(list(panels), draw)


def against_each_other(lines: Sequence[Replicates], varied: Sequence[str]) -> "Figure":
    """The test accuracy and the numbers of subnetworks, each against each; bars: the interval over replicates."""
    panels: dict[str, tuple[Setting, str, str]] = {}
    for title, setting in settings(lines, varied).items():
        names = [ACCURACY, *shown_names(line.measured for line in setting.lines if line.values)]
        panels |= {f"{title}: {y} against {x}": (setting, x, y) for y, x in combinations(names, 2)}

    def draw(axes: "Axes", panel: str) -> None:
        setting, across, up = panels[panel]
        full = styled({"full network": [line for line in setting.full if line.measured]})
        for label, group, style in [*full, *setting.curves(lambda line: line.measured and line.values)]:
            both = [(x, y) for line in group if (x := quantity(line, across)) and (y := quantity(line, up))]
            if both:
                axes.errorbar(
                    [x.value for x, _ in both], [y.value for _, y in both], xerr=[x.half for x, _ in both],
                    yerr=[y.half for _, y in both], **{**style, "linestyle": "none"}, markersize=5, elinewidth=0.9,
                    label=label,
                )  # fmt: skip
        axes.set(xlabel=across, ylabel=up, title=setting.title)

    return first_of(list(panels), draw)


def over_analyses(rows: Analyses) -> "Figure":
    """Each number of instability analyses against k, or of levels against the density; bands: standard deviation."""

    def draw(axes: "Axes", name: str) -> None:
        for network, own, style in styled(by_network(rows, rows.analyses), rows.order):
            values_band(axes, averaged(own, name, rows.index), network, style)
        if rows.index is BY_LEVEL:
            density_axis(axes)
        else:
            k_axis(axes, rows.analyses)
        axes.set_ylabel(name)

    return first_of(shown_names([measured_numbers(rows.analyses)]), draw)


def quantity(line: Replicates, name: str) -> Mean | None:
    return mean_of([100 * value for value in line.values] if name == ACCURACY else line.measured.get(name, ()))


def first_of(names: Sequence[str], draw: "Callable[[Axes, str], None]") -> "Figure":
    """Return a panel for each name, of more than ``PANELS`` for the first of them."""
    heading = f"the first {PANELS} of {len(names)}" if len(names) > PANELS else ""
    return in_panels(names[:PANELS], draw, heading=heading, size=SIZE)
