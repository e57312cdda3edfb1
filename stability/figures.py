"""The figures of an instability analysis, drawn from its rows with matplotlib."""

import io
import re
from collections.abc import Iterator, Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from stability.collect import Rows, TableRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design"; without yellow, which is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
SPLIT_COLOURS = {"test": COLOURS[0], "train": COLOURS[1]}
DASHES: dict[str, Any] = {"raw": "-", "recalculated": (0, (4, 2))}
GREY = "#666666"
COLUMNS = 5
STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8, "xtick.labelsize": 8,
    "ytick.labelsize": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#DDDDDD", "grid.linewidth": 0.6, "lines.linewidth": 1.4, "legend.frameon": False,
    "axes.axisbelow": True, "svg.hashsalt": "stability", "figure.dpi": 100,
}  # fmt: skip


def draw(rows: Rows) -> Iterator[tuple[str, "Figure"]]:
    """Every figure with its file's name; ``ModuleNotFoundError`` without matplotlib."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        networks = in_order(row["network"] for row in rows.analyses)
        for network in networks:
            own = [row for row in rows.lines if row["network"] == network]
            suffix = "" if len(networks) == 1 else "_" + "_".join(re.findall(r"[\w.]+", network))
            yield f"interpolation{suffix}", interpolation(own, network)
        yield "barrier_by_k", barrier_by_k(rows)
        yield "barrier_against_gap", barrier_against_gap(rows)
        yield "accuracy", accuracy(rows)


def rendered(figure: "Figure", form: str) -> bytes:
    """The bytes of an image file; the same for the same figure, since no date goes in."""
    import matplotlib

    file = io.BytesIO()
    metadata = {"Date": None} if form == "svg" else {"Software": None}
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, format=form, dpi=200, metadata=metadata)
    return file.getvalue()


def interpolation(lines: Sequence[TableRow], network: str) -> "Figure":
    """Error and loss along the line between every two children, a column for each k."""
    from matplotlib.lines import Line2D

    ks = sorted({(row["k_epoch"], row["k"]) for row in lines})
    columns = min(COLUMNS, len(ks))
    blocks = -(-len(ks) // columns)
    figure = new_figure(max(4.6, 1.1 + 1.75 * columns), 0.75 + 3.3 * blocks)
    panels = figure.subplots(2 * blocks, columns, sharex=True, squeeze=False)
    for panel in panels.flat:
        panel.set_visible(False)
    for what, name, scale in (("error", "error (%)", 100), ("loss", "cross entropy (nats)", 1)):
        axes = [panels[2 * (place // columns) + (what == "loss")][place % columns] for place in range(len(ks))]
        top = max((row[what] * scale for row in lines if row[what] is not None), default=1)
        for place, (axis, (epoch, k)) in enumerate(zip(axes, ks, strict=True)):
            axis.set_visible(True)
            own = [row for row in lines if row["k_epoch"] == epoch]
            for series in grouped(own, "replicate", "first_child", "second_child", "split", "batchnorm"):
                first = series[0]
                axis.plot(
                    [row["alpha"] for row in series],
                    [float("nan") if row[what] is None else scale * row[what] for row in series],
                    color=SPLIT_COLOURS[first["split"]], linestyle=DASHES[first["batchnorm"]],
                    linewidth=1.2, alpha=0.85,
                )  # fmt: skip
            axis.set_ylim(0, 1.05 * top or 1)
            axis.set_xlim(0, 1)
            axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            if what == "error":
                axis.set_title(f"k = {k}")
            if place % columns == 0:
                axis.set_ylabel(name)
            else:
                axis.tick_params(labelleft=False)
            below = place + columns >= len(ks)
            axis.tick_params(labelbottom=what == "loss")
            if what == "loss" and below:
                axis.set_xlabel(r"$\alpha$ (0, 1: the children)")
    handles = [
        Line2D([], [], color=SPLIT_COLOURS[split], linestyle=DASHES[treatment], label=f"{split}, BatchNorm {treatment}")
        for split in SPLIT_COLOURS
        for treatment in DASHES
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    figure.suptitle(f"{network}: on the line between two children", fontsize=10)
    return figure


def barrier_by_k(rows: Rows) -> "Figure":
    """Error barrier against k with spread, on test and training set."""
    figure = new_figure(7.2, 3.4)
    panels = figure.subplots(1, 2, sharey=True)
    networks = in_order(row["network"] for row in rows.analyses)
    for axis, split in zip(panels, ("test", "train"), strict=True):
        for network, colour, marker in zip(networks, cycle(COLOURS), cycle(MARKERS), strict=False):
            own = [row for row in rows.pairs if row["network"] == network]
            for treatment, dash in DASHES.items():
                points = averaged(own, f"{split}_error_barrier_{treatment}")
                axis.errorbar(
                    [k for k, _, _ in points], [100 * value for _, value, _ in points],
                    yerr=[100 * deviation for _, _, deviation in points],
                    color=colour, marker=marker, linestyle=dash, markersize=4.5, capsize=2, elinewidth=0.9,
                    markerfacecolor=colour if treatment == "raw" else "white", clip_on=False, zorder=3,
                    label=f"{network}, BatchNorm {treatment}",
                )  # fmt: skip
        threshold_line(axis, rows)
        axis.set_title(f"{'test' if split == 'test' else 'training'} set")
        axis.set_xlabel("k: start of the children (epochs)")
    panels[0].set_ylim(bottom=0)  # after both are drawn: it ends the scaling of the shared axis
    panels[0].set_ylabel("error barrier (percentage points)")
    handles, labels = panels[0].get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda place: labels[place].startswith("threshold"))
    figure.legend([handles[i] for i in order], [labels[i] for i in order], loc="outside lower center", ncols=3)
    figure.suptitle(how_many(rows), fontsize=8, color=GREY)
    return figure


def barrier_against_gap(rows: Rows) -> "Figure":
    """Error barrier against the accuracy that is missing to the full network, a point for each k and replicate."""
    figure = new_figure(4.8, 3.8)
    axis = figure.subplots()
    networks = in_order(row["network"] for row in rows.analyses)
    for network, colour, marker in zip(networks, cycle(COLOURS), cycle(MARKERS), strict=False):
        own = [row for row in rows.analyses if row["network"] == network]
        own = [row for row in own if row["test_error_barrier_raw"] is not None]
        points = [(100 * row["accuracy_gap"], 100 * row["test_error_barrier_raw"], row["k"]) for row in own]
        axis.plot(
            [x for x, _, _ in points], [y for _, y, _ in points], color=colour, marker=marker, linestyle="none",
            markersize=5.5, alpha=0.8, label=network, clip_on=False, zorder=3,
        )  # fmt: skip
        for x, y, k in points:
            axis.annotate(k, (x, y), textcoords="offset points", xytext=(5, 4), fontsize=7, color=colour)
    threshold_line(axis, rows)
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.margins(y=0.08)
    axis.autoscale_view()
    axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
    axis.margins(x=0.12)
    axis.set_xlabel("accuracy gap: full network minus children (percentage points)")
    axis.set_ylabel("raw error barrier, test set (percentage points)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def accuracy(rows: Rows) -> "Figure":
    """Test accuracy over training, a panel for each network, the children of every k and the full network."""
    import matplotlib

    networks = in_order(row["network"] for row in rows.analyses)
    figure = new_figure(1.2 + 3.1 * len(networks), 3.5)
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    children = [row for row in rows.training if row["k_epoch"] is not None]
    ks = sorted({row["k_epoch"] for row in children})
    shades = matplotlib.colormaps["cividis"]
    trunk = [row for row in rows.training if row["k_epoch"] is None]
    for axis, network in zip(panels, networks, strict=True):
        band(axis, trunk, "black", "full network, no branch", 1.6)
        for place, k in enumerate(ks):
            own = [row for row in children if row["network"] == network and row["k_epoch"] == k]
            # By rank, since k's are often dense near 0.
            band(axis, own, shades(0.92 * place / max(1, len(ks) - 1)), f"children from k = {k:g} ep", 1.1)
        axis.set_title(network)
        axis.set_xlabel("training (epochs)")
    panels[0].set_ylabel("test accuracy (%)")
    handles: dict[str, Any] = {}
    for axis in panels:
        handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside right center")
    return figure


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure; inches. It belongs to no window and to no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


# Pieces ------------------------------------------------------------------------------------------------------------


def band(axis: "Axes", rows: Sequence[TableRow], colour: Any, label: str, width: float) -> None:
    """Mean test accuracy over trainings, and between the lowest and the highest a lighter band."""
    epochs = sorted({row["epoch"] for row in rows})
    values = [[100 * row["test_accuracy"] for row in rows if row["epoch"] == epoch] for epoch in epochs]
    if not epochs:
        return
    axis.plot(epochs, [mean(some) for some in values], color=colour, linewidth=width, label=label)
    axis.fill_between(epochs, [*map(min, values)], [*map(max, values)], color=colour, alpha=0.15, linewidth=0)


def threshold_line(axis: "Axes", rows: Rows) -> None:
    """The threshold of stability, or several if analyses differ in it."""
    for threshold in sorted({row["threshold"] for row in rows.analyses}):
        axis.axhline(
            100 * threshold, color=GREY, linestyle=":", linewidth=1.2, label=f"threshold ({100 * threshold:.3g} points)"
        )


def averaged(pairs: Sequence[TableRow], name: str) -> list[tuple[float, float, float]]:
    """(k, mean, standard deviation) over all pairs of all replicates; 0 for one pair."""
    points = []
    for group in grouped(sorted(pairs, key=lambda row: row["k_epoch"]), "k_epoch"):
        values = [row[name] for row in group if row[name] is not None]
        if values:
            points.append((group[0]["k_epoch"], mean(values), stdev(values) if len(values) > 1 else 0.0))
    return points


def how_many(rows: Rows) -> str:
    """What a point of the curve stands for."""
    replicates, pairs = len({row["replicate"] for row in rows.analyses}), max(row["pairs"] for row in rows.analyses)
    what = f"{pairs} pair{'s' * (pairs > 1)} of children in {replicates} replicate{'s' * (replicates > 1)}"
    return f"Means over {what}; bars: standard deviation" if replicates * pairs > 1 else f"{what}, no spread"


def grouped(rows: Sequence[TableRow], *names: str) -> list[list[TableRow]]:
    """Rows that agree in some entries, together, in order of appearance."""
    groups: dict[tuple[Any, ...], list[TableRow]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.values())


def in_order(names: Iterator[str]) -> list[str]:
    """Each name once; the full network first."""
    return sorted(dict.fromkeys(names), key=lambda name: (not name.startswith("full network"), name))


def cycle(values: Sequence[str]) -> Iterator[str]:
    """The values over and over."""
    while True:
        yield from values
