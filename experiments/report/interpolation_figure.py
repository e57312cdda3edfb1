"""The figure of error and loss along the lines between children."""

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.report.collect import Index
from experiments.report.drawing import labelled, treatments
from experiments.report.palette import DASHES, SPLIT_COLOURS, new_figure
from experiments.report.tables import Row, grouped

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
    """Error and, below it, loss along the line between every two children, a column for each k or level."""
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
    figure.legend(handles=legend(splits, shown), loc="outside lower center", ncols=2)
    figure.suptitle(f"{network}: on the line between two children", fontsize=10)
    return figure


def draw_lines(axes: "Axes", rows: Sequence[Row], quantity: Quantity) -> None:
    """A curve for each pair, split and BatchNorm treatment; a value that is not finite leaves a gap."""
    for series in grouped(rows, "replicate", "first_child", "second_child", "split", "batchnorm"):
        values = [row[quantity.column] for row in series]
        axes.plot(
            [row["alpha"] for row in series],
            [float("nan") if value is None else quantity.scale * value for value in values],
            color=SPLIT_COLOURS[series[0]["split"]], linestyle=DASHES[series[0]["batchnorm"]],
            linewidth=1.2, alpha=0.85,
        )  # fmt: skip


def name_axes(axes: "Axes", quantity: Quantity, *, left: bool, lowest: bool) -> None:
    """Names and numbers at the outer panels only."""
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(labelleft=left, labelbottom=quantity is LOSS)
    if left:
        axes.set_ylabel(quantity.label)
    if quantity is LOSS and lowest:
        axes.set_xlabel(r"$\alpha$ (0, 1: the children)")


def legend(splits: Container[str], shown: Sequence[str]) -> list[Any]:
    """A line for each split and treatment."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=SPLIT_COLOURS[split], linestyle=DASHES[treatment], label=labelled(split, treatment, shown))
        for split in SPLIT_COLOURS
        if split in splits
        for treatment in shown
    ]
