"""Figures of lottery runs: what accuracy subnetworks keep, what they cost, where they would stop early."""

import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.report.figures.drawing import (
    Curve,
    density_axis,
    how_many_replicates,
    in_panels,
    log_ticks,
    room_above,
    strategy_of,
    styled,
    values_band,
)
from experiments.report.figures.palette import LINES
from experiments.report.replicates import Replicates
from experiments.report.tables import grouped
from experiments.runs.naming import said
from foundations.averages import average, standard_deviation
from foundations.formats import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_CHARACTERS = 16  # of a line below a tick
CURVES = 12
"""In a panel, at most."""
SETTING = ("dataset", "model")
"""Hyperparameters whose values have panels of their own: nothing is compared across them."""


class Setting(NamedTuple):
    """The lines of one data set and model."""

    title: str
    lines: Sequence[Replicates]
    varied: Sequence[str]
    """The hyperparameters in which they differ."""
    order: Sequence[str]
    """The strategies of all data sets and models, for their colours."""

    @property
    def full(self) -> list[Replicates]:
        return [line for line in self.lines if line.is_full and line.mean is not None][:CURVES]

    def curves(self, wanted: Callable[[Replicates], object] = bool) -> list[Curve[list[Replicates]]]:
        """Return the curves of subnetworks with what is wanted of them; a strategy looks the same in all figures."""
        pruned = [line for line in self.lines if not line.is_full]
        kept = [
            Curve(name, own, style)
            for name, group, style in styled(in_series(pruned, self.varied), self.order)
            if (own := [line for line in group if wanted(line)])
        ]
        return best_of_each(kept)

    @property
    def numeric(self) -> list[str]:
        """Return the varied hyperparameters that are numbers, those with the most values first."""
        values = {name: {line.varied[name] for line in self.lines if name in line.varied} for name in self.varied}
        numbers = [name for name in values if all(map(is_number, values[name]))]
        return sorted(numbers, key=lambda name: -len(values[name]))


def settings(lines: Sequence[Replicates], varied: Sequence[str]) -> dict[str, Setting]:
    """Return the lines of each data set and model by their names, with what varies among them."""
    order = [line.strategy for line in lines if not line.is_full]
    groups: dict[str, list[Replicates]] = {}
    for line in lines:
        title = ", ".join(line.varied[name] for name in SETTING if name in varied and name in line.varied)
        groups.setdefault(title, []).append(line)
    return {
        title: Setting(title, own, [
            name for name in varied
            if name not in SETTING and len({line.varied.get(name) for line in own if not line.is_full}) > 1
        ], order)
        for title, own in groups.items() if any(not line.is_full for line in own)
    }  # fmt: skip


def best_of_each(curves: Sequence[Curve[list[Replicates]]]) -> list[Curve[list[Replicates]]]:
    """Return at most ``CURVES``: of each strategy those with the highest mean, in the order that they had."""
    if len(curves) <= CURVES:
        return list(curves)
    ranks: Counter[str] = Counter()
    chosen: list[tuple[int, int, int]] = []
    for place in sorted(range(len(curves)), key=lambda place: -fmean([line.mean or 0 for line in curves[place].value])):
        strategy = strategy_of(curves[place].name)
        chosen.append((ranks[strategy], len(chosen), place))
        ranks[strategy] += 1
    return [curves[place] for place in sorted(place for *_, place in sorted(chosen)[:CURVES])]


def left_out(lines: Sequence[Replicates], varied: Sequence[str]) -> str:
    """Return how many curves of how many are shown, where that are not all."""
    for setting in settings(lines, varied).values():
        every = len(in_series([line for line in setting.lines if not line.is_full], setting.varied))
        if every > CURVES:
            return f"{CURVES} of {every} curves: of each strategy those with the highest means; --only chooses others"
    return ""


def is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("e-", "", 1).isdecimal()


def lottery_figures(lines: Sequence[Replicates], varied: Sequence[str]) -> "dict[str, Callable[[], Figure]]":
    """Return what draws each figure of subnetworks, by its file's name; none without a result of one.

    Args:
        lines: the subnetworks, and the full network.
        varied: the hyperparameters that stand in the names of curves.
    """
    pruned = [line for line in lines if line.values and not line.is_full]
    makers: dict[str, Callable[[], Figure]] = {}
    if pruned:
        makers["accuracy"] = partial(accuracy, lines, varied)
        if maps := [one for one in settings(lines, varied).values() if left_out(one.lines, varied) and one.numeric]:
            makers["accuracy_map"] = partial(accuracy_map, maps[0])
        if any(line.lies_idle for line in lines):
            makers["accuracy_effective"] = partial(accuracy, lines, varied, effective=True)
    if any(line.early_stopped for line in pruned):
        makers["early_stopping"] = partial(early_stopping, lines, varied)
    return makers


def accuracy(lines: Sequence[Replicates], varied: Sequence[str], *, effective: bool = False) -> "Figure":
    """Draw accuracy against density where a strategy has several densities, else strategy by strategy.

    With ``effective`` it is the effective density; lines without one are left out. Each data set and model has a panel.
    """
    there = settings(lines, varied)
    curves = {
        title: setting.curves((lambda line: line.effective_density) if effective else bool)
        for title, setting in there.items()
    }  # fmt: skip
    over_density = effective or any(len(curve.value) > 1 for own in curves.values() for curve in own)

    def draw(axes: "Axes", title: str) -> None:
        for line, dashes in zip(there[title].full, 3 * LINES[1:], strict=False):
            full_network(axes, line, ", ".join(["full network", *varied_of(line, there[title].varied)]), dashes)
        if over_density:
            against_density(axes, curves[title], effective=effective)
        else:
            by_strategy(axes, curves[title])
        if title:
            axes.set_title(title)
        axes.set_ylabel("test accuracy (%)")
        room_above(axes)

    heading = how_many_replicates(lines, "bands" if over_density else "dots: replicates; bars")
    heading = "\n".join(filter(None, (heading, left_out(lines, varied))))
    figure = in_panels(list(there), draw, heading=heading, size=(3, 2.8))
    if not over_density and len(there) == 1:
        figure.set_figwidth(max(6.4, 1.1 * len(next(iter(curves.values())))))
    return figure


def in_series(lines: Sequence[Replicates], varied: Sequence[str]) -> dict[str, list[Replicates]]:
    """Return the lines of each curve by its name, which says k and other hyperparameters only where needed.

    Levels of one experiment are a chain, each pruned from the one before; those of different chains have curves of
    their own.
    """
    several_k = len({(line.strategy, line.k) for line in lines}) > len({line.strategy for line in lines})
    named: dict[str, list[Replicates]] = {}
    for line in lines:
        k = [f"k = {line.k}"] if several_k else []
        named.setdefault(", ".join([line.strategy, *k, *varied_of(line, varied)]), []).append(line)
    series: dict[str, list[Replicates]] = {}
    for name, group in named.items():
        levels = Counter(line.key for line in group)
        apart = len(levels) > 1 and max(levels.values()) > 1
        for line in group:
            chain = f"{line.kept_of_level} a level" if levels[line.key] > 1 else "in one level"
            series.setdefault(f"{name}, {chain}" if apart else name, []).append(line)
    return series


def varied_of(line: Replicates, varied: Sequence[str]) -> list[str]:
    return [said(name, line.varied[name]) for name in varied if name in line.varied]


def full_network(axes: "Axes", line: Replicates, label: str, dashes: Any) -> None:
    if line.mean is None:
        return
    axes.axhline(100 * line.mean, color="black", linestyle=dashes, linewidth=1.2, label=label)
    low, high = (100 * (line.mean + sign * line.standard_deviation) for sign in (-1, 1))
    axes.axhspan(low, high, color="black", alpha=0.08, linewidth=0)


def against_density(axes: "Axes", curves: Sequence[Curve[list[Replicates]]], *, effective: bool = False) -> None:
    """Draw a curve for each strategy with a band of its standard deviation; density falls to the right.

    A mark is hollow where not all replicates ended as they should; where none did a cross stands on the axis.
    """
    for name, group, style in curves:
        at = [(100 * density_of(line, effective), line) for line in sorted(group, key=lambda line: -line.density)]
        values = [(x, 100 * line.mean, 100 * line.standard_deviation) for x, line in at if line.mean is not None]
        values_band(axes, values, name, style)
        hollow = [(x, 100 * line.mean) for x, line in at if line.mean is not None and not line.whole]
        axes.plot(
            [x for x, _ in hollow], [y for _, y in hollow], **{**style, "linestyle": "none"}, markersize=5,
            markerfacecolor="white", zorder=4,
        )  # fmt: skip
        lost = [x for x, line in at if line.mean is None]
        if lost:  # at the foot of the axis, whatever its limits
            foot, colour = axes.get_xaxis_transform(), style["color"]
            axes.plot(lost, [0.03] * len(lost), "x", color=colour, transform=foot, zorder=4)
    density_axis(axes, *(["weights on a path from input to output (%)"] if effective else []))


def density_of(line: Replicates, effective: bool) -> float:
    return line.effective_density or 0.0 if effective else line.asked


def by_strategy(axes: "Axes", curves: Sequence[Curve[list[Replicates]]]) -> None:
    """Draw each replicate as a dot, mean and standard deviation beside them."""
    for place, (_, (line, *_), style) in enumerate(curves):
        if line.mean is None:
            continue
        values, deviation = [100 * value for value in line.values], 100 * line.standard_deviation
        if len(values) > 1:
            axes.scatter([place - 0.12] * len(values), values, color=style["color"], alpha=0.5, s=16)
        axes.errorbar(place, 100 * line.mean, yerr=deviation or None, **style, markersize=6, capsize=4)
    if len({curve.value[0].asked for curve in curves}) > 1:
        axes.set_title("not at one density", fontsize="medium")
    axes.set_xticks(range(len(curves)), [tick_label(curve.name, curve.value[0]) for curve in curves])
    axes.set_xlim(-0.5, len(curves) - 0.5)
    axes.grid(visible=False, axis="x")


def tick_label(name: str, line: Replicates) -> str:
    """Return what a strategy is, what it keeps and, if not all replicates ended as they should, how they did."""
    words = [wrapped for part in name.split(", ") for wrapped in textwrap.wrap(part, LABEL_CHARACTERS)]
    parts = [*words, f"{line.kept_text} kept"]
    return "\n".join(parts if line.whole else [*parts, line.counted.replace("; ", ",\n")])


def accuracy_map(setting: Setting) -> "Figure":
    """Draw mean accuracies over the values of two hyperparameters, or of one and the density, a panel a strategy.

    They are those of the sparsest density that all strategies have, where there are two hyperparameters.
    """
    pruned = [line for line in setting.lines if not line.is_full and line.mean is not None]
    up, across = [*setting.numeric, "density"][:2]
    strategies = list(dict.fromkeys(line.strategy for line in pruned))
    by_strategy = [{line.kept_text: line.asked for line in pruned if line.strategy == name} for name in strategies]
    shared = set.intersection(*map(set, by_strategy)) or set(by_strategy[0])
    density = min(shared, key=lambda text: by_strategy[0].get(text, 1))
    shown = [line for line in pruned if across == "density" or line.kept_text == density]
    low, high = (100 * end(line.mean or 0 for line in shown) for end in (min, max))

    def value(line: Replicates, name: str) -> float:
        return 100 * line.asked if name == "density" else float(line.varied.get(name, "nan"))

    def draw(axes: "Axes", strategy: str) -> None:
        own = [line for line in shown if line.strategy == strategy]
        rows, columns = (sorted({value(line, name) for line in own}) for name in (up, across))
        cells = [
            [100 * fmean([line.mean or 0 for line in own if (value(line, up), value(line, across)) == (y, x)] or [-1])
             for x in columns] for y in rows
        ]  # fmt: skip
        drawn = axes.imshow(
            [[cell if cell >= 0 else float("nan") for cell in row] for row in cells], cmap="cividis", vmin=low,
            vmax=high, origin="lower", aspect="auto",
        )  # fmt: skip
        axes.set_xticks(range(len(columns)), [f"{x:g}" for x in columns])
        axes.set_yticks(range(len(rows)), [f"{y:g}" for y in rows])
        axes.set(title=strategy, xlabel="weights kept (%)" if across == "density" else across, ylabel=up)
        axes.grid(visible=False)
        axes.figure.colorbar(drawn, ax=axes, label="accuracy (%)")

    heading = "" if across == "density" else f"{density} kept"
    return in_panels(strategies[:CURVES], draw, heading=heading, size=(2.8, 2.3))


def early_stopping(lines: Sequence[Replicates], varied: Sequence[str]) -> "Figure":
    """Draw iteration and test accuracy of early stopping against density, as Frankle & Carbin 2019 do.

    arXiv 1803.03635. Lines without a validation set are left out.
    """
    points = {"early-stopping iteration": iteration, "test accuracy there (%)": early_stopped_accuracy}
    there = {
        title: setting for title, setting in settings(lines, varied).items()
        if any(line.early_stopped and not line.is_full for line in setting.lines)
    }  # fmt: skip
    panels = {f"{title}\n{name}": (setting, name) for title, setting in there.items() for name in points}

    def draw(axes: "Axes", panel: str) -> None:
        setting, name = panels[panel]
        for line in [line for line in setting.full if line.early_stopped][:1]:
            axes.axhline(points[name](line)[0], color="black", linestyle="--", linewidth=1.2, label="full network")
        for label, group, style in setting.curves(lambda line: line.early_stopped):
            in_order = sorted(group, key=lambda line: -line.density)
            values_band(axes, [(100 * line.asked, *points[name](line)) for line in in_order], label, style)
        density_axis(axes)
        axes.set(ylabel=name, title=setting.title)

    return in_panels(list(panels), draw, columns=2, size=(3.1, 2.6), heading="where the validation loss is smallest")


def iteration(line: Replicates) -> tuple[float, float]:
    """Return the mean iteration of early stopping; its deviation is not drawn."""
    return line.early_stopping_iteration or 0.0, 0.0


def early_stopped_accuracy(line: Replicates) -> tuple[float, float]:
    return 100 * (average(line.early_stopped) or 0.0), 100 * (standard_deviation(line.early_stopped) or 0.0)


def accuracy_against_cost(lines: Sequence[Replicates], varied: Sequence[str]) -> "Figure":
    """Draw accuracy against the multiply-adds of the whole training, finding the mask included.

    They are relative to the dense training's. Lines without a cost or a result are left out.
    """
    there = settings(lines, varied)

    def draw(axes: "Axes", title: str) -> None:
        for line in there[title].full[:1]:
            full_network(axes, line, "full network", "--")
        for name, group, style in there[title].curves(lambda line: line.training_cost and line.values):
            points = sorted(
                (line.training_cost or 0, 100 * (line.mean or 0), 100 * line.standard_deviation) for line in group
            )
            axes.errorbar(
                [x for x, _, _ in points], [y for _, y, _ in points], yerr=[error for _, _, error in points],
                **style, markersize=5, capsize=2, elinewidth=0.9, label=name,
            )  # fmt: skip
        axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
        axes.set(title=title, xlabel="training's multiply-adds (dense = 1)", ylabel="test accuracy (%)")
        room_above(axes)

    return in_panels(list(there), draw, size=(3, 2.8), heading=left_out(lines, varied))


def accuracy_of_branches(lines: Sequence[Replicates], varied: Sequence[str], branches: Sequence[Row]) -> "Figure":
    """Draw what branches make of levels, beside the levels themselves, against the density; a panel a strategy."""
    pruned = [line for line in lines if not line.is_full and {row["key"] for row in branches} & {line.key}]
    series = in_series(pruned, varied)

    def draw(axes: "Axes", name: str) -> None:
        keys = {line.key for line in series[name]}
        own = [row for row in branches if row["key"] in keys]
        curves = {"the level itself": [(100 * line.asked, list(line.values)) for line in series[name]]}
        for group in grouped(own, "branch", "level"):
            at = 100 * group[0]["density_asked"], [row["test_accuracy"] for row in group]
            curves.setdefault(group[0]["branch"], []).append(at)
        for label, points, style in styled(curves):
            values = [
                (x, 100 * fmean(found), 100 * (standard_deviation(found) or 0))
                for x, found in sorted(points, reverse=True) if found
            ]  # fmt: skip
            values_band(axes, values, label, style)
        density_axis(axes)
        axes.set(title=name, ylabel="test accuracy (%)")
        room_above(axes)

    return in_panels(list(series)[:CURVES], draw, size=(3, 2.6))
