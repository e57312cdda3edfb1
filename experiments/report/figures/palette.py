"""How all figures look, and how they become files."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design"; without yellow, which is too pale for lines, and with Paul Tol's wine.
# Black is the full network. There is one marker more than colours, so that the first 56 curves all look different.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
SPLIT_COLOURS = {"test": COLOURS[0], "train": COLOURS[1], "validation": COLOURS[2]}
DASHES: dict[str, Any] = {
    "raw": "-", "recalculated": (0, (4, 2)), "aligned": (0, (1, 1.2)), "aligned_recalculated": (0, (4, 1.5, 1, 1.5)),
}  # fmt: skip
"""Of lines, by what was done to the networks between two children."""
GREY = "#666666"
STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8, "xtick.labelsize": 8,
    "ytick.labelsize": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#DDDDDD", "grid.linewidth": 0.6, "lines.linewidth": 1.4, "legend.frameon": False,
    "axes.axisbelow": True, "svg.hashsalt": "adsynflow", "figure.dpi": 100,
}  # fmt: skip
PAPER: dict[Any, Any] = {
    **STYLE, "font.family": "serif", "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "lines.linewidth": 1.1, "lines.markersize": 3.5, "axes.linewidth": 0.6,
    "mathtext.fontset": "dejavuserif", "pdf.fonttype": 42,
}  # fmt: skip
"""For print: fonts are embedded as TrueType, which publishers want."""
COLUMN_WIDTH, TEXT_WIDTH = 3.3, 6.8
"""Of a paper, in inches. Figures of up to 6.4 inches go into one of its two columns."""
STYLES = ("screen", "paper")
FORMS = ("svg", "png")
ALL_FORMS = (*FORMS, "pdf")


def cycle(values: Sequence[str]) -> Iterator[str]:
    while True:
        yield from values


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a size in inches that belongs to no window and to no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def images(make: Callable[[], "Figure"], style: str = "screen", forms: Sequence[str] = FORMS) -> dict[str, bytes]:
    """Return a figure in each of ``forms`` (``svg``, ``png``, ``pdf``), without a date: equal figures, equal bytes.

    ``savefig`` would draw it four times and lay it out twice, which takes most of the time.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    written = {form: io.BytesIO() for form in ALL_FORMS}
    with matplotlib.rc_context(PAPER if style == "paper" else STYLE):
        figure = make()
        if style == "paper":
            fit_paper(figure)
        figure.set_dpi(200)
        FigureCanvasAgg(figure).print_png(written["png"], metadata={"Software": None})  # it lays the figure out
        figure.set_layout_engine("none")  # it stays as it was laid out
        if "svg" in forms:
            FigureCanvasSVG(figure).print_svg(written["svg"], metadata={"Date": None})
        if "pdf" in forms:
            dateless = {"CreationDate": None, "Producer": None, "Creator": None}
            FigureCanvasPdf(figure).print_pdf(written["pdf"], metadata=dateless)
    return {form: written[form].getvalue() for form in forms}


def fit_paper(figure: "Figure") -> None:
    """Give a figure the width of a column or of the text, and take away its heading, since papers have captions."""
    before = figure.get_figwidth()
    width = COLUMN_WIDTH if before <= 6.4 else TEXT_WIDTH
    height = figure.get_figheight() * (width / before) ** 0.6  # text does not shrink as the figure does
    if figure.get_suptitle():
        figure.suptitle("").set_in_layout(False)
    known = [axes.get_legend_handles_labels() for axes in figure.axes]  # in legends, error bars have lost their marks
    drawn = {label: handle for handles, labels in known for handle, label in zip(handles, labels, strict=True)}
    for legend in list(figure.legends):  # anew, since its number of columns cannot be changed
        labels = [text.get_text() for text in legend.get_texts()]
        handles = [drawn.get(label, shown) for label, shown in zip(labels, legend.legend_handles, strict=True)]
        columns = min(len(labels), max(1, int(16 * width) // (6 + max(map(len, labels)))))
        legend.remove()
        figure.legend([*filter(None, handles)], labels, loc="outside lower center", ncols=columns)
        height += 0.13 * (-(-len(labels) // columns) - 1)
    figure.set_size_inches(width, height)
