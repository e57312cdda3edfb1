"""The last look at a figure before it becomes files: sizes for print, legends that fit, no text cut or covered."""

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

COLUMN_WIDTH, TEXT_WIDTH = 3.3, 6.8
"""Of a paper, in inches. Figures of up to 6.4 inches go into one of its two columns."""
LEGEND_CHARACTERS = 16  # in an inch of a legend
ROUNDS = 6
"""Of laying out and mending, at most: a label that is wrapped takes room from the axis beside it."""


def fit(figure: "Figure", *, paper: bool = False) -> None:
    """Lay a figure out so that every text has room: labels are wrapped, ticks and marks beside points thinned out.

    With ``paper`` it gets the width of a column or of the text, and loses its heading, since papers have captions.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)  # which knows how large texts are
    before, width = figure.get_figwidth(), figure.get_figwidth()
    height = figure.get_figheight() - sum(map(legend_height, figure.legends))
    if paper:
        width = COLUMN_WIDTH if before <= 6.4 else TEXT_WIDTH
        height *= (width / before) ** 0.6  # text does not shrink as the figure does
        if figure.get_suptitle():
            figure.suptitle("").set_in_layout(False)
    figure.set_size_inches(width, height)
    for legend in list(figure.legends):
        again(figure, legend, len(legend.get_texts()))
    for _ in range(ROUNDS):
        if engine := figure.get_layout_engine():
            engine.execute(figure)
        if not any([mend_labels(figure), mend_ticks(figure), mend_legends(figure)]):
            break
    drop_covered(figure)


def add_legend(figure: "Figure", handles: Sequence[Any], labels: Sequence[str], most: int = 100) -> None:
    """Put a legend below a figure, thresholds last, in as many columns as fit; the figure grows by its height."""
    from_axes = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }  # with their marks, which handles of a legend have lost
    known = sorted(zip(labels, handles, strict=True), key=lambda entry: entry[0].startswith("threshold"))
    names = [label for label, _ in known]
    fitting = int(LEGEND_CHARACTERS * figure.get_figwidth()) // (6 + max(map(len, names)))
    columns = max(1, min(len(names), fitting, most))
    shown = [from_axes.get(label, handle) for label, handle in known]
    legend = figure.legend(shown, names, loc="outside lower center", ncols=columns)
    figure.set_figheight(figure.get_figheight() + legend_height(legend))


def again(figure: "Figure", legend: Any, most: int) -> None:
    """Make a legend anew, since its number of columns cannot be changed."""
    labels, handles = [text.get_text() for text in legend.get_texts()], list(legend.legend_handles)
    legend.remove()
    add_legend(figure, handles, labels, most)


def mend_legends(figure: "Figure") -> bool:
    """Take a column from legends that are wider than the figure; return whether there were any."""
    legends: list[Any] = figure.legends
    wide = [legend for legend in legends
            if legend.get_window_extent().width > figure.bbox.width and legend._ncols > 1]  # fmt: skip
    for legend in wide:
        figure.set_figheight(figure.get_figheight() - legend_height(legend))
        again(figure, legend, legend._ncols - 1)
    return bool(wide)


def legend_height(legend: Any) -> float:
    return 0.16 * float(-(-len(legend.get_texts()) // legend._ncols))


def box(text: "Text") -> "Bbox":
    return text.get_window_extent()


def mend_labels(figure: "Figure") -> bool:
    """Wrap names of axes and titles that are longer than what they belong to; return whether there were any."""
    mended = False
    for axes in (axes for axes in figure.axes if axes.get_visible()):
        wide, high = 1.05 * max(axes.bbox.width, 1), 1.05 * max(axes.bbox.height, 1)
        texts = [(axes.xaxis.label, wide, False), (axes.title, wide, False), (axes.yaxis.label, high, True)]
        for text, room, upright in texts:
            taken = box(text).height if upright else box(text).width
            words, lines = text.get_text().replace("\n", " "), text.get_text().count("\n") + 1
            if taken > room and lines < len(words.split()):
                longest = max(map(len, text.get_text().split("\n")))
                text.set_text(textwrap.fill(words, max(6, int(longest * room / taken)), break_long_words=False))
                mended = True
    if (heading := figure._suptitle) is not None and box(heading).width > figure.bbox.width:  # type: ignore[attr-defined]
        longest = max(map(len, heading.get_text().split("\n")))
        narrower = int(0.95 * longest * figure.bbox.width / box(heading).width)
        heading.set_text("\n".join(textwrap.fill(line, narrower) for line in heading.get_text().split("\n")))
        mended = True
    return mended


def mend_ticks(figure: "Figure") -> bool:
    """Turn names below an axis that lie over each other, and take every second of numbers away."""
    mended = False
    for axis in (axis for axes in figure.axes if axes.get_visible() for axis in (axes.xaxis, axes.yaxis)):
        labels = list(tick_labels(axis))
        if not any(overlap(one, other) for one, other in itertools.pairwise(labels)):
            continue
        names = [label.get_text() for label in labels]
        if axis.axis_name == "x" and any(not name[:1].isdecimal() and name[:1] not in "\u2212-." for name in names):
            axis.set_tick_params(rotation=90)
        else:
            thin_out(axis)
        mended = True
    return mended


def thin_out(axis: "Axis") -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator

    locator, formatter = axis.get_major_locator(), axis.get_major_formatter()
    if isinstance(locator, FixedLocator) and isinstance(formatter, FixedFormatter):
        axis.set_ticks(list(locator())[::2], list(formatter.seq)[::2])
    else:
        axis.set_major_locator(MaxNLocator(max(2, (len(axis.get_majorticklocs()) - 1) // 2)))


def overlap(one: "Text", other: "Text") -> bool:
    return bool(box(one).padded(1).overlaps(box(other)))


def texts_of(figure: "Figure") -> Iterator["Text"]:
    """Yield the texts that are drawn: headings, names of axes, ticks, entries of legends, marks beside points."""
    for axes in (axes for axes in figure.axes if axes.get_visible()):
        yield from (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
        for axis in (axes.xaxis, axes.yaxis):
            yield from (*tick_labels(axis), axis.get_offset_text())
    for legend in figure.legends:
        yield from legend.get_texts()
    if (heading := figure._suptitle) is not None:  # type: ignore[attr-defined]
        yield heading


def tick_labels(axis: "Axis") -> Iterator["Text"]:
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
        if low <= tick.get_loc() <= high and tick.label1.get_visible() and tick.label1.get_text():
            yield tick.label1


def drop_covered(figure: "Figure") -> None:
    """Take away the marks beside points that lie over another text, or outside the figure."""
    for axes in figure.axes:
        for mark in list(axes.texts):
            others = [text for text in texts_of(figure) if text is not mark and text.get_text()]
            if any(overlap(mark, other) for other in others) or not contains(figure, mark):
                mark.remove()


def contains(figure: "Figure", text: "Text") -> bool:
    outer, inner = figure.bbox.padded(1), box(text)
    return bool(outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1)
