"""Pieces of the figures: axes, bands, marks, and what rows are drawn together."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from experiments.report.collect import BY_LEVEL, Analyses, Index
from experiments.report.figures.fit import add_legend
from experiments.report.figures.palette import COLOURS, DASHES, GREY, LINES, MARKERS, new_figure
from experiments.report.replicates import Replicates
from experiments.report.tables import grouped
from foundations.averages import average, standard_deviation
from foundations.formats import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

T = TypeVar("T")
TICKS = 9
FULL = ("(full network)", "full network", "none")
"""What the full network is called in tables; it is black."""


class Curve(NamedTuple, Generic[T]):
    """What is drawn as one curve."""

    name: str
    value: T
    style: dict[str, Any]
    """Colour, marker and line, as matplotlib takes them."""


def styled(series: Mapping[str, T], order: Iterable[str] = ()) -> list[Curve[T]]:
    """Return each entry with a style: a colour and a marker for a strategy, a line and a marker for its variants.

    Args:
        series: by names such as ``adsynflow, k = 4ep``. Those of a single strategy have colours of their own.
        order: the strategies of all figures, so that each looks the same in all of them.
    """
    families = list(dict.fromkeys([*order, *map(strategy_of, series)]))
    places = {family: place for place, family in enumerate(name for name in families if name not in FULL)}
    seen: Counter[str] = Counter()
    curves = []
    for name, value in series.items():
        place, variant = places.get(strategy_of(name), 0), seen[strategy_of(name)]
        seen[strategy_of(name)] += 1
        if len(places) == 1:
            place, variant = variant, 0
        colour = "black" if strategy_of(name) in FULL else COLOURS[place % len(COLOURS)]
        line = LINES[(place // len(COLOURS) + variant) % len(LINES)]
        marker = MARKERS[(place + 3 * variant) % len(MARKERS)]
        curves.append(Curve(name, value, {"color": colour, "marker": marker, "linestyle": line}))
    return curves


def strategy_of(name: str) -> str:
    return name.partition(", ")[0]


def in_panels(
    names: Sequence[str], draw: "Callable[[Axes, str], None]", *, columns: int = 3, sharey: bool = False,
    heading: str = "", size: tuple[float, float] = (2.4, 2.1),
) -> "Figure":  # fmt: skip
    """Return a panel for each name, a single one as large as a figure, and one legend below them.

    Args:
        names: of the panels, in order.
        draw: draws one.
        columns: at most.
        sharey: whether the y axis is the same, and named on the left only.
        heading: small and grey, above.
        size: of a panel, in inches.
    """
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(*((6.4, 3.6) if len(names) == 1 else (1 + size[0] * columns, 0.6 + size[1] * rows)))
    grid = figure.subplots(rows, columns, sharey=sharey, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        draw(axes, name)
    for place, axes in enumerate(grid.flat):
        axes.set_visible(place < len(names))
        if sharey and place % columns:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
    finish(figure, heading)
    return figure


def columns(rows: Iterable[Row], *names: str) -> list[list[Any]]:
    """Return the values of rows by column, as matplotlib takes them."""
    listed = list(rows)
    return [[row[name] for row in listed] for name in names]


def finish(figure: "Figure", heading: str = "") -> None:
    """Put one legend of all axes below the figure, which grows by it; the heading is small and grey."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if handles:
        add_legend(figure, list(handles.values()), list(handles))
    if heading:
        figure.suptitle(heading, fontsize=8, color=GREY)


def annotate(axis: "Axes", points: Sequence[tuple[float, float, str, str]]) -> None:
    """Mark points (x, y, mark, colour). Those of a colour that lie together share one text, and no two texts overlap.

    A text that finds no room is left out.
    """
    from matplotlib.transforms import Bbox

    scale = 72 / axis.figure.dpi  # texts are measured in points
    at = sorted((*(scale * axis.transData.transform((x, y))), mark, colour, (x, y)) for x, y, mark, colour in points)
    groups: list[list[Any]] = []
    for point in at:
        near = [
            group for group in groups
            if group[-1][3] == point[3] and abs(group[-1][0] - point[0]) < 24 and abs(group[-1][1] - point[1]) < 10
        ]  # fmt: skip
        if near:
            near[-1].append(point)
        else:
            groups.append([point])
    taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y, *_ in at]
    for group in groups:
        x, y, _, colour, place = group[-1]
        text = ", ".join(dict.fromkeys(mark for _, _, mark, *_ in group))
        wide = 4.5 * len(text)
        for dx, dy in ((6, 3), (6, -9), (-6 - wide, 3), (-6 - wide, -9), (-wide / 2, 8), (-wide / 2, -14)):
            box = Bbox.from_extents(x + dx, y + dy, x + dx + wide, y + dy + 8)
            if not box.count_overlaps(taken):
                taken.append(box)
                axis.annotate(text, place, textcoords="offset points", xytext=(dx, dy), fontsize=7, color=colour)
                break


def k_axis(axis: "Axes", rows: Iterable[Row]) -> None:
    """Put ticks at the k's themselves, in the units that they were given in, as many as have room."""
    ks = dict(sorted((row["k_epoch"], row["k"]) for row in rows))
    room = (max(ks) - min(ks)) / TICKS
    ticks: list[float] = []
    for place in ks:
        if not ticks or place - ticks[-1] >= room:
            ticks.append(place)
    axis.set_xticks(ticks, [ks[tick] for tick in ticks])
    axis.set_xlabel("k: start of the children")


def band(
    axis: "Axes", rows: Sequence[Row], colour: Any, label: str, width: float, value: str = "test_accuracy",
    *, dashes: Any = "-", marker: str = "", stays: bool = False,
) -> None:  # fmt: skip
    """Draw the mean of a value over trainings, and between the lowest and the highest a lighter band.

    A value that ``stays`` from one epoch to the next one of the rows is drawn in steps.
    """
    epochs = sorted({row["epoch"] for row in rows})
    values = [[100 * row[value] for row in rows if row["epoch"] == epoch] for epoch in epochs]
    if not epochs:
        return
    axis.plot(
        epochs, [fmean(some) for some in values], color=colour, linewidth=width, label=label, linestyle=dashes,
        drawstyle="steps-post" if stays else "default", marker=marker, markersize=4, markevery=-(-len(epochs) // 6),
    )  # fmt: skip
    low, high = [*map(min, values)], [*map(max, values)]
    axis.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0, step="post" if stays else None)


def values_band(
    axis: "Axes", values: Sequence[tuple[float, float, float]], label: str, style: Mapping[str, Any]
) -> None:
    """Draw a curve of means with a lighter band of a standard deviation to both sides, from (x, mean, deviation)."""
    at, means = [x for x, _, _ in values], [mean for _, mean, _ in values]
    axis.plot(at, means, **style, markersize=5, label=label, zorder=3)
    low, high = ([mean + sign * deviation for _, mean, deviation in values] for sign in (-1, 1))
    axis.fill_between(at, low, high, color=style["color"], alpha=0.15, linewidth=0)


def room_above(axis: "Axes") -> None:
    """End an axis of percentages at 100 and a little, since bands reach beyond what there can be."""
    low, high = axis.get_ylim()
    axis.set_ylim(max(low, -1), min(high, 100 + 0.02 * (100 - low)))


def threshold_line(axis: "Axes", rows: Analyses) -> None:
    """Draw the threshold of stability, or several if analyses differ in it.

    One far above everything drawn is named in the legend only: it would take most of the axis.
    """
    highest = axis.get_ylim()[1]
    for threshold in sorted({100 * row["threshold"] for row in rows.analyses}):
        label = f"threshold ({threshold:.3g} points)"
        if threshold <= 2 * highest:
            axis.axhline(threshold, color=GREY, linestyle=":", linewidth=1.2, label=label)
        else:
            axis.plot([], [], color=GREY, linestyle=":", linewidth=1.2, label=f"{label}: above")


def density_axis(axis: "Axes", name: str = "prunable weights kept (%)") -> None:
    """Show percentages on a logarithmic axis that falls to the right, as pruning goes on."""
    axis.set_xscale("log")
    log_ticks(axis.xaxis)
    if not axis.xaxis_inverted():
        axis.invert_xaxis()
    axis.set_xlabel(name)


def log_ticks(axis: "Axis") -> None:
    """Put ticks at 1, 2, 5, 10 and so on, over more than three decades at 1, 10, 100; two of them at least."""
    low, high = sorted(axis.get_view_interval())
    if not 0 < low < high:
        return
    steps = (1, 2, 5) if high / low <= 1000 else (1,)
    every = [step * 10.0**power for power in range(-8, 7) for step in steps]
    ticks = [tick for tick in every if low <= tick <= high]
    if len(ticks) < 2:
        around = [max(tick for tick in every if tick <= low), min(tick for tick in every if tick >= high)]
        ticks = sorted({*ticks, *around})
        axis.set_view_interval(ticks[0], ticks[-1], ignore=True)
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def treatments(lines: Sequence[Row]) -> list[str]:
    """Return those that there are: a network without BatchNorm has nothing to recalculate, unless it is aligned."""
    values = {name: [(row["error"], row["loss"]) for row in lines if row["batchnorm"] == name] for name in DASHES}
    same = values["raw"] == values["recalculated"]
    return [name for name in DASHES if name == "raw" or (values[name] and not (same and name == "recalculated"))]


def labelled(name: str, treatment: str, shown: Sequence[str]) -> str:
    if len(shown) == 1:
        return name
    words = {"aligned": "aligned", "aligned_recalculated": "aligned, recalculated"}
    plain = f"BatchNorm {treatment}" if "recalculated" in shown else "as trained"
    return f"{name}, {words.get(treatment, plain)}"


def averaged(pairs: Sequence[Row], name: str, index: Index) -> list[tuple[float, float, float]]:
    """Return (k in epochs or density in percent, mean, standard deviation) over all pairs and replicates."""
    points = []
    for group in grouped(sorted(pairs, key=lambda row: row[index.column]), index.column):
        values = [row[name] for row in group if row.get(name) is not None]
        if values:
            at = 100 * group[0]["density"] if index is BY_LEVEL else group[0]["k_epoch"]
            points.append((at, average(values) or 0.0, standard_deviation(values) or 0.0))
    return points


def how_many(rows: Analyses) -> str:
    """Return what a point of the curve stands for."""
    points = Counter((row["network"], row[rows.index.column]) for row in rows.analyses)
    replicates, pairs = sorted(set(points.values())), sorted({row["pairs"] for row in rows.analyses})
    what = f"{span(pairs)} pair{'s' * (pairs[-1] > 1)} of children in "
    what += f"{span(replicates)} replicate{'s' * (replicates[-1] > 1)}"
    text = f"Means over {what}; bars: standard deviation" if replicates[-1] * pairs[-1] > 1 else f"{what}, no bars"
    lost = Counter(row["state"] for row in rows.missing)
    return "; ".join([text, *(f"without {number} {state}" for state, number in sorted(lost.items()))])


def how_many_replicates(lines: Sequence[Replicates], spread: str) -> str:
    """Return what a point stands for, and of which points not all replicates ended as they should."""
    numbers = sorted({len(line.states or line.values) for line in lines})
    text = f"means, n = {span(numbers)}; {spread}: standard deviation" if numbers[-1] > 1 else "n = 1"
    return text if all(line.whole for line in lines) else f"{text}\nhollow, cross: not all, none of them; see the table"


def span(numbers: Sequence[int]) -> str:
    """Return numbers in ascending order as ``3`` or ``1 to 3``."""
    return f"{numbers[0]}" if numbers[0] == numbers[-1] else f"{numbers[0]} to {numbers[-1]}"
