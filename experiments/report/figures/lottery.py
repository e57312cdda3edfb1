"""Figures of lottery runs: what accuracy subnetworks keep, what they cost, where they would stop early."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from experiments.report.figures.drawing import (
    density_axis,
    finish,
    how_many_replicates,
    room_above,
    round_ticks,
    styled,
    values_band,
)
from experiments.report.figures.palette import cycle, new_figure
from experiments.report.replicates import Replicates
from experiments.runs.naming import said
from foundations.averages import average, standard_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Series = Mapping[str, Sequence[Replicates]]
"""The lines of each curve, by its name."""
FULL_DASHES = ("--", ":", "-.")
LABEL_CHARACTERS = 16  # of a line below a tick


def lottery_figures(lines: Sequence[Replicates], varied: Sequence[str]) -> "dict[str, Callable[[], Figure]]":
    """Return what draws each figure of subnetworks, by its file's name; none without a result of one.

    Args:
        lines: the subnetworks, and the full network.
        varied: the hyperparameters that stand in the names of curves.
    """
    pruned = [line for line in lines if line.values and not line.is_full]
    makers: dict[str, Callable[[], Figure]] = {}
    if pruned:
        makers["accuracy"] = partial(accuracy, lines, varied)
        if any(line.lies_idle for line in lines):
            makers["accuracy_effective"] = partial(accuracy, lines, varied, effective=True)
    if any(line.early_stopped for line in pruned):
        makers["early_stopping"] = partial(early_stopping, lines, varied)
    return makers


def accuracy(lines: Sequence[Replicates], varied: Sequence[str], *, effective: bool = False) -> "Figure":
    """Draw accuracy against density where a strategy has several densities, else strategy by strategy.

    With ``effective`` it is the effective density; lines without one are left out.
    """
    pruned = [line for line in lines if not line.is_full and (line.effective_density or not effective)]
    series = in_series(pruned, varied)
    over_density = effective or any(len(group) > 1 for group in series.values())
    figure = new_figure(6.4 if over_density else max(6.4, 1.1 * len(series)), 4)
    axes = figure.subplots()
    for line, dashes in zip((line for line in lines if line.is_full), cycle(FULL_DASHES), strict=False):
        full_network(axes, line, ", ".join(["full network", *varied_of(line, varied)]), dashes)
    if over_density:
        against_density(axes, series, effective=effective)
    else:
        by_strategy(axes, series)
    axes.set_ylabel("test accuracy (%)")
    room_above(axes)
    finish(figure, axes, 3.6, how_many_replicates(lines, "bands" if over_density else "dots: replicates; bars"))
    return figure


def in_series(lines: Sequence[Replicates], varied: Sequence[str]) -> dict[str, list[Replicates]]:
    """Return the lines of each curve by its name, which says k and other hyperparameters only where needed."""
    several_k = len({(line.strategy, line.k) for line in lines}) > len({line.strategy for line in lines})
    series: dict[str, list[Replicates]] = {}
    for line in lines:
        k = [f"k = {line.k}"] if several_k else []
        series.setdefault(", ".join([line.strategy, *k, *varied_of(line, varied)]), []).append(line)
    return series


def varied_of(line: Replicates, varied: Sequence[str]) -> list[str]:
    return [said(name, line.varied[name]) for name in varied if name in line.varied]


def full_network(axes: "Axes", line: Replicates, label: str, dashes: str) -> None:
    if line.mean is None:
        return
    axes.axhline(100 * line.mean, color="black", linestyle=dashes, linewidth=1.2, label=label)
    low, high = (100 * (line.mean + sign * line.standard_deviation) for sign in (-1, 1))
    axes.axhspan(low, high, color="black", alpha=0.08, linewidth=0)


def against_density(axes: "Axes", series: Series, *, effective: bool = False) -> None:
    """Draw a curve for each strategy with a band of its standard deviation; density falls to the right.

    A mark is hollow where not all replicates ended as they should; where none did a cross stands on the axis.
    """
    for name, group, colour, marker in styled(series):
        at = [(100 * density_of(line, effective), line) for line in sorted(group, key=lambda line: -line.density)]
        values = [(x, 100 * line.mean, 100 * line.standard_deviation) for x, line in at if line.mean is not None]
        values_band(axes, values, colour, name, marker)
        hollow = [(x, 100 * line.mean) for x, line in at if line.mean is not None and not line.whole]
        axes.plot(
            [x for x, _ in hollow], [y for _, y in hollow], linestyle="none", marker=marker, markersize=5,
            color=colour, markerfacecolor="white", zorder=4,
        )  # fmt: skip
        lost = [x for x, line in at if line.mean is None]
        if lost:  # at the foot of the axis, whatever its limits
            axes.plot(lost, [0.03] * len(lost), "x", color=colour, transform=axes.get_xaxis_transform(), zorder=4)
    if effective:
        round_ticks(axes)
        axes.invert_xaxis()
        axes.set_xlabel("prunable weights on a path from input to output (%)")
    else:
        density_axis(axes, {line.asked for group in series.values() for line in group})


def density_of(line: Replicates, effective: bool) -> float:
    return line.effective_density or 0.0 if effective else line.asked


def by_strategy(axes: "Axes", series: Series) -> None:
    """Draw each replicate as a dot, mean and standard deviation beside them."""
    for place, (_, (line,), colour, marker) in enumerate(styled(series)):
        if line.mean is None:
            continue
        values, deviation = [100 * value for value in line.values], 100 * line.standard_deviation
        if len(values) > 1:
            axes.scatter([place - 0.12] * len(values), values, color=colour, alpha=0.5, s=16)
        axes.errorbar(
            place, 100 * line.mean, yerr=deviation or None, color=colour, marker=marker, markersize=6, capsize=4
        )
    if len({line.asked for (line,) in series.values()}) > 1:
        axes.set_title("not at one density", fontsize="medium")
    axes.set_xticks(range(len(series)), [tick_label(name, line) for name, (line,) in series.items()])
    axes.set_xlim(-0.5, len(series) - 0.5)
    axes.grid(visible=False, axis="x")


def tick_label(name: str, line: Replicates) -> str:
    """Return what a strategy is, what it keeps and, if not all replicates ended as they should, how they did."""
    words = [wrapped for part in name.split(", ") for wrapped in textwrap.wrap(part, LABEL_CHARACTERS)]
    parts = [*words, f"{line.kept_text} kept"]
    return "\n".join(parts if line.whole else [*parts, line.counted.replace("; ", ",\n")])


def early_stopping(lines: Sequence[Replicates], varied: Sequence[str]) -> "Figure":
    """Draw iteration and test accuracy of early stopping against density, as Frankle & Carbin 2019 do.

    arXiv 1803.03635. Lines without a validation set are left out.
    """
    known = [line for line in lines if line.early_stopped]
    pruned = [line for line in known if not line.is_full]
    figure = new_figure(7.2, 3.4)
    panels = figure.subplots(1, 2)
    labels = ("early-stopping iteration", "test accuracy there (%)")
    for axes, label, point in zip(panels, labels, (iteration, early_stopped_accuracy), strict=True):
        for line in (line for line in known if line.is_full):
            axes.axhline(point(line)[0], color="black", linestyle="--", linewidth=1.2, label="full network")
        for name, group, colour, marker in styled(in_series(pruned, varied)):
            in_order = sorted(group, key=lambda line: -line.density)
            values = [(100 * line.asked, *point(line)) for line in in_order]
            values_band(axes, values, colour, name, marker)
        density_axis(axes, {line.asked for line in pruned})
        axes.set_ylabel(label)
    finish(figure, panels[0], 3.0, "where the validation loss is smallest")
    return figure


def iteration(line: Replicates) -> tuple[float, float]:
    """Return the mean iteration of early stopping; its deviation is not drawn."""
    return line.early_stopping_iteration or 0.0, 0.0


def early_stopped_accuracy(line: Replicates) -> tuple[float, float]:
    return 100 * (average(line.early_stopped) or 0.0), 100 * (standard_deviation(line.early_stopped) or 0.0)


def accuracy_against_cost(lines: Sequence[Replicates], varied: Sequence[str]) -> "Figure":
    """Draw accuracy against the multiply-adds of the whole training, finding the mask included.

    They are relative to the dense training's. Lines without a cost or a result are left out.
    """
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    for line in lines:
        if line.is_full:
            full_network(axes, line, "full network", "--")
    series = in_series([line for line in lines if line.training_cost and line.values and not line.is_full], varied)
    for name, group, colour, marker in styled(series):
        points = sorted(
            (line.training_cost or 0, 100 * (line.mean or 0), 100 * line.standard_deviation) for line in group
        )
        axes.errorbar(
            [x for x, _, _ in points], [y for _, y, _ in points], yerr=[error for _, _, error in points],
            color=colour, marker=marker, markersize=5, capsize=2, elinewidth=0.9, label=name,
        )  # fmt: skip
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    round_ticks(axes)
    axes.set_xlabel("multiply-adds of training (dense training = 1)")
    axes.set_ylabel("test accuracy (%)")
    room_above(axes)
    finish(figure, axes, 3.3)
    return figure
