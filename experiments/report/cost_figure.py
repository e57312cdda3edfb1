"""The figure of what subnetworks cost to train."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.report.drawing import legend_below, room_above, round_ticks
from experiments.report.lines import Line
from experiments.report.lottery_figure import full_network, in_series
from experiments.report.palette import COLOURS, MARKERS, cycle, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def accuracy_against_cost(lines: Sequence[Line], varied: Sequence[str]) -> "Figure":
    """Accuracy against the multiply-adds of the whole training, finding the mask included, relative to the dense one.

    Args:
        lines: the subnetworks; those without a cost or a result are left out.
        varied: the hyperparameters that stand in the names of curves.
    """
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    for line in lines:
        if line.is_full:
            full_network(axes, line, "full network", "--")
    series = in_series([line for line in lines if line.training_cost and line.values and not line.is_full], varied)
    for (name, group), colour, marker in zip(series.items(), cycle(COLOURS), cycle(MARKERS), strict=False):
        points = sorted(
            (line.training_cost or 0, 100 * (line.mean or 0), 100 * line.standard_deviation) for line in group
        )
        axes.errorbar(
            [x for x, _, _ in points], [y for _, y, _ in points], yerr=[error for _, _, error in points],
            color=colour, marker=marker, markersize=5, capsize=2, elinewidth=0.9, label=name,
        )  # fmt: skip
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    round_ticks(axes)
    axes.set_xlabel("multiply-adds of training, mask included (dense training = 1)")
    axes.set_ylabel("test accuracy (%)")
    room_above(axes)
    figure.set_figheight(3.3 + 0.17 * legend_below(figure, axes))
    return figure
