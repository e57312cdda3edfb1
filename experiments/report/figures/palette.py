"""How all figures look, and how they become files."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from experiments.report.figures.fit import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design"; without yellow, which is too pale for lines, and with Paul Tol's wine.
# Black is the full network. There is one marker more than colours, so that the first 56 curves all look different.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
LINES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)))
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
STYLES = FOR_SCREEN, FOR_PAPER = ("screen", "paper")
FORMS = ("svg", "png")
ALL_FORMS = (*FORMS, "pdf", "pgf")


def cycle(values: Sequence[str]) -> Iterator[str]:
    while True:
        yield from values


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a size in inches that belongs to no window and to no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def images(make: Callable[[], "Figure"], style: str = "screen", forms: Sequence[str] = FORMS) -> dict[str, bytes]:
    """Return a figure in each of ``forms`` (of ``ALL_FORMS``), without a date: equal figures, equal bytes.

    ``savefig`` would draw it four times and lay it out twice, which takes most of the time.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    written = {form: io.BytesIO() for form in ALL_FORMS}
    with matplotlib.rc_context(PAPER if style == "paper" else STYLE):
        figure = make()
        fit(figure, paper=style == "paper")
        figure.set_layout_engine("none")  # it stays as it was laid out
        if "svg" in forms:
            FigureCanvasSVG(figure).print_svg(written["svg"], metadata={"Date": None})
        if "pdf" in forms:
            dateless = {"CreationDate": None, "Producer": None, "Creator": None}
            FigureCanvasPdf(figure).print_pdf(written["pdf"], metadata=dateless)
        if "pgf" in forms:
            written["pgf"].write(as_pgf(figure))
        if "png" in forms:
            figure.set_dpi(200)
            FigureCanvasAgg(figure).print_png(written["png"], metadata={"Software": None})
    return {form: written[form].getvalue() for form in forms}


def as_pgf(figure: "Figure") -> bytes:
    r"""Return a figure as commands for LaTeX's package pgf, which sets its texts in the fonts of the document.

    Matplotlib's own canvas asks an installed LaTeX for the size of each text. These are laid out already, and what is
    known from that will do.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pgf import RendererPgf

    measure: Any = FigureCanvasAgg(figure).get_renderer().get_text_width_height_descent

    class Measured(RendererPgf):
        def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> tuple[float, float, float]:
            width, height, descent = measure(s, prop, ismath)
            return width, height, descent

    drawn = io.StringIO()
    figure.draw(Measured(figure, drawn))
    width, height = figure.get_size_inches()
    return "\n".join([
        r"% \usepackage{pgf} in the preamble; then \input this file", r"\begingroup", r"\makeatletter",
        r"\begin{pgfpicture}",
        rf"\pgfpathrectangle{{\pgfpointorigin}}{{\pgfqpoint{{{width:f}in}}{{{height:f}in}}}}",
        r"\pgfusepath{use as bounding box, clip}", drawn.getvalue().rstrip(), r"\end{pgfpicture}", r"\makeatother",
        r"\endgroup", "",
    ]).encode()  # fmt: skip
