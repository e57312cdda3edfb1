"""Pieces of the figures: axes, bands, marks, and what rows are drawn together."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

from experiments.report.collect import BY_LEVEL, Analyses, Index
from experiments.report.figures.palette import COLOURS, DASHES, GREY, MARKERS, cycle
from experiments.report.replicates import Replicates
from experiments.report.tables import grouped
from foundations.averages import average, standard_deviation
from foundations.formats import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

T = TypeVar("T")
TICKS = 9
LEGEND_CHARACTERS = 16  # in an inch of a legend


def styled(series: Mapping[str, T]) -> Iterator[tuple[str, T, str, str]]:
    """Yield each entry's name and value with a colour and a marker of its own."""
    for (name, value), colour, marker in zip(series.items(), cycle(COLOURS), cycle(MARKERS), strict=False):
        yield name, value, colour, marker


def columns(rows: Iterable[Row], *names: str) -> list[list[Any]]:
    """Return the values of rows by column, as matplotlib takes them."""
    listed = list(rows)
    return [[row[name] for row in listed] for name in names]


def finish(figure: "Figure", axis: "Axes", height: float, heading: str = "") -> None:
    """Put the legend of an axis, if it has any, below the figure, which grows by it; the heading is small and grey."""
    if axis.get_legend_handles_labels()[0]:
        height += 0.17 * legend_below(figure, axis)
    figure.set_figheight(height)
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
    *, dashes: str = "-", stays: bool = False,
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
        drawstyle="steps-post" if stays else "default",
    )  # fmt: skip
    low, high = [*map(min, values)], [*map(max, values)]
    axis.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0, step="post" if stays else None)


def values_band(
    axis: "Axes", values: Sequence[tuple[float, float, float]], colour: str, label: str, marker: str
) -> None:
    """Draw a curve of means with a lighter band of a standard deviation to both sides, from (x, mean, deviation)."""
    at, means = [x for x, _, _ in values], [mean for _, mean, _ in values]
    axis.plot(at, means, color=colour, marker=marker, markersize=5, label=label, zorder=3)
    low, high = ([mean + sign * deviation for _, mean, deviation in values] for sign in (-1, 1))
    axis.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)


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


def density_axis(axis: "Axes", densities: Iterable[float]) -> None:
    """Show weights kept on a logarithmic axis that falls to the right, as pruning goes on."""
    axis.set_xscale("log")
    axis.invert_xaxis()
    percents = sorted({100 * density for density in densities}, reverse=True)
    room = (percents[0] / percents[-1]) ** (1 / TICKS)
    ticks = percents[:1]
    for percent in percents[1:]:
        if percent * room <= ticks[-1] * 1.001:
            ticks.append(percent)
    axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("prunable weights kept (%)")


def round_ticks(axis: "Axes") -> None:
    """Draw a logarithmic x axis with ticks at 1, 3, 10 and so on."""
    axis.set_xscale("log")
    low, high = sorted(axis.get_xlim())
    ticks = [tick for power in range(-6, 6) for tick in (10.0**power, 3 * 10.0**power) if low <= tick <= high]
    axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axis.minorticks_off()


def legend_columns(figure: "Figure", labels: Iterable[str]) -> int:
    """Return how many columns of a legend below a figure have room there."""
    return max(1, int(LEGEND_CHARACTERS * figure.get_figwidth()) // (5 + max(map(len, labels))))


def legend_below(figure: "Figure", axis: "Axes") -> int:
    """Put the legend of an axis below the figure, thresholds last, in as many columns as fit; return its lines."""
    handles, labels = axis.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda place: labels[place].startswith("threshold"))
    columns = legend_columns(figure, labels)
    figure.legend([handles[i] for i in order], [labels[i] for i in order], loc="outside lower center", ncols=columns)
    return -(-len(labels) // columns)


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
