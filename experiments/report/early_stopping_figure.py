"""The figure of early stopping: where the validation loss is smallest, and the test accuracy there."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from experiments.report.drawing import density_axis, legend_below, values_band
from experiments.report.lines import Line
from experiments.report.lottery_figure import in_series
from experiments.report.palette import COLOURS, GREY, MARKERS, cycle, new_figure
from foundations.averages import average, standard_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]
"""A mean and a standard deviation."""


def early_stopping(lines: Sequence[Line], varied: Sequence[str]) -> "Figure":
    """Iteration and test accuracy of early stopping against density, as Frankle & Carbin 2019 (arXiv 1803.03635) draw
    them.

    Args:
        lines: the subnetworks; those without a validation set are left out.
        varied: the hyperparameters that stand in the names of curves.
    """
    known = [line for line in lines if line.early_stopped]
    figure = new_figure(7.2, 3.4)
    panels = figure.subplots(1, 2)
    for axes, label, point in zip(panels, LABELS, (iteration, accuracy), strict=True):
        draw(axes, known, varied, point)
        axes.set_ylabel(label)
    figure.set_figheight(3.0 + 0.17 * legend_below(figure, panels[0]))
    figure.suptitle("where the validation loss is smallest", fontsize=8, color=GREY)
    return figure


LABELS = ("early-stopping iteration", "test accuracy there (%)")


def iteration(line: Line) -> Point:
    """The mean iteration."""
    return line.early_stopping_iteration or 0.0, 0.0


def accuracy(line: Line) -> Point:
    """The test accuracy there, in percent."""
    return 100 * (average(line.early_stopped) or 0.0), 100 * (standard_deviation(line.early_stopped) or 0.0)


def draw(axes: "Axes", lines: Sequence[Line], varied: Sequence[str], point: Callable[[Line], Point]) -> None:
    """A curve for each strategy, and a level line for the full network."""
    for line in lines:
        if line.is_full:
            axes.axhline(point(line)[0], color="black", linestyle="--", linewidth=1.2, label="full network")
    pruned = [line for line in lines if not line.is_full]
    curves = in_series(pruned, varied).items()
    for (name, group), colour, marker in zip(curves, cycle(COLOURS), cycle(MARKERS), strict=False):
        in_order = sorted(group, key=lambda line: -line.density)
        values_band(axes, [(100 * line.density, *point(line)) for line in in_order], colour, name, marker)
    density_axis(axes, {line.density for line in pruned})
