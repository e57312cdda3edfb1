"""The figure of lottery runs: what accuracy subnetworks keep."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from experiments.report.drawing import density_axis, legend_below
from experiments.report.lines import Line
from experiments.report.naming import said
from experiments.report.palette import COLOURS, MARKERS, cycle, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Series = Mapping[str, Sequence[Line]]
FULL_DASHES = ("--", ":", "-.")


def accuracy(lines: Sequence[Line], varied: Sequence[str]) -> "Figure":
    """Accuracy against density where a strategy has several densities, else strategy by strategy.

    Args:
        lines: the subnetworks.
        varied: the hyperparameters that stand in the names of curves.
    """
    pruned = [line for line in lines if not line.is_full]
    several_k = len({(line.strategy, line.k) for line in pruned}) > len({line.strategy for line in pruned})
    series: dict[str, list[Line]] = {}
    for line in pruned:
        k = [f"k = {line.k}"] if several_k else []
        series.setdefault(", ".join([line.strategy, *k, *varied_of(line, varied)]), []).append(line)
    over_density = any(len(group) > 1 for group in series.values())
    figure = new_figure(6.4 if over_density else max(6.4, 1.1 * len(series)), 4)
    axes = figure.subplots()
    for line, dashes in zip((line for line in lines if line.is_full), cycle(FULL_DASHES), strict=False):
        full_network(axes, line, ", ".join(["full network", *varied_of(line, varied)]), dashes)
    if over_density:
        against_density(axes, series)
    else:
        by_strategy(axes, series)
    axes.set_ylabel("test accuracy (%)")
    if axes.get_legend_handles_labels()[0]:
        figure.set_figheight(3.6 + 0.17 * legend_below(figure, axes))
    return figure


def varied_of(line: Line, varied: Sequence[str]) -> list[str]:
    """What a name says of the hyperparameters that differ."""
    return [said(name, line.varied[name]) for name in varied if name in line.varied]


def full_network(axes: "Axes", line: Line, label: str, dashes: str) -> None:
    """A level line with a band of its standard deviation."""
    axes.axhline(100 * line.mean, color="black", linestyle=dashes, linewidth=1.2, label=label)
    low, high = (100 * (line.mean + sign * line.standard_deviation) for sign in (-1, 1))
    axes.axhspan(low, high, color="black", alpha=0.08, linewidth=0)


def against_density(axes: "Axes", series: Series) -> None:
    """A curve for each strategy with its standard deviation; density falls to the right, as pruning goes on."""
    for (name, group), colour, marker in zip(series.items(), cycle(COLOURS), cycle(MARKERS), strict=False):
        ordered = sorted(group, key=lambda line: -line.density)
        deviations = [100 * line.standard_deviation for line in ordered]
        axes.errorbar(
            [100 * line.density for line in ordered], [100 * line.mean for line in ordered],
            yerr=deviations if any(deviations) else None, color=colour, marker=marker, label=name,
            markersize=5, capsize=3,
        )  # fmt: skip
    density_axis(axes, {line.density for group in series.values() for line in group})


def by_strategy(axes: "Axes", series: Series) -> None:
    """Each replicate as a dot, mean and standard deviation beside them."""
    for place, ((line,), colour, marker) in enumerate(
        zip(series.values(), cycle(COLOURS), cycle(MARKERS), strict=False)
    ):
        values, deviation = [100 * value for value in line.values], 100 * line.standard_deviation
        if len(values) > 1:
            axes.scatter([place - 0.12] * len(values), values, color=colour, alpha=0.5, s=16)
        axes.errorbar(
            place, 100 * line.mean, yerr=deviation or None, color=colour, marker=marker, markersize=6, capsize=4
        )
    names = [name.replace(", ", "\n") for name in series]
    labels = [f"{name}\n{100 * line.density:.3g}% kept" for name, (line,) in zip(names, series.values(), strict=True)]
    if len({line.density for (line,) in series.values()}) > 1:
        axes.set_title("not at one density", fontsize="medium")
    axes.set_xticks(range(len(series)), labels)
    axes.set_xlim(-0.5, len(series) - 0.5)
    axes.grid(visible=False, axis="x")
