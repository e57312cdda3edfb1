"""How all figures look, and how they become files."""

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design"; without yellow, which is too pale for lines. Black is the full network.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
SPLIT_COLOURS = {"test": COLOURS[0], "train": COLOURS[1]}
DASHES: dict[str, Any] = {"raw": "-", "recalculated": (0, (4, 2))}
"""Of lines, by the treatment of BatchNorm's statistics."""
GREY = "#666666"
STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8, "xtick.labelsize": 8,
    "ytick.labelsize": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#DDDDDD", "grid.linewidth": 0.6, "lines.linewidth": 1.4, "legend.frameon": False,
    "axes.axisbelow": True, "svg.hashsalt": "adsynflow", "figure.dpi": 100,
}  # fmt: skip
FORMS = ("svg", "png")


def cycle(values: Sequence[str]) -> Iterator[str]:
    """The values over and over."""
    while True:
        yield from values


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure; inches. It belongs to no window and to no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def images(make: Callable[[], "Figure"]) -> dict[str, bytes]:
    """A figure as ``svg`` and ``png``; the same bytes for the same figure, since no date goes in.

    ``savefig`` would draw it four times and lay it out twice, which takes most of the time.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    svg, png = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure = make()
        figure.set_dpi(200)
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
        figure.set_layout_engine("none")  # it stays as it was laid out
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
    return {"svg": svg.getvalue(), "png": png.getvalue()}
