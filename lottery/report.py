"""Tables and figures of lottery runs: stored rows in, files out; nothing is trained here."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from foundations.reporting import Reporter
from foundations.store import atomic_write, digest

Row = Mapping[str, Any]

FULL = "(full network)"
# Okabe and Ito 2008, "Color Universal Design"; black is kept for the full network.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
MARKERS = "osD^vPX"
COLUMNS = ("strategy", "k", "level", "density", "replicate", "test_accuracy", "test_loss", "train_accuracy", "path")


@dataclass(frozen=True)
class Line:
    """The replicates of one subnetwork."""

    strategy: str
    k: str
    level: int
    density: float
    values: tuple[float, ...]
    paths: tuple[Path, ...]

    @property
    def mean(self) -> float:
        """Over the replicates."""
        return mean(self.values)

    @property
    def spread(self) -> float:
        """Their standard deviation (with n - 1); 0 for a single one."""
        return stdev(self.values) if len(self.values) > 1 else 0.0

    @property
    def place(self) -> Path:
        """The innermost directory that holds them all."""
        return Path(os.path.commonpath(self.paths))


def summarize(rows: Iterable[Row], value: str = "test_accuracy") -> list[Line]:
    """One line for each strategy, k, level and density, in the order of their first rows."""
    groups: dict[tuple[str, str, int, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["strategy"], row["k"], row["level"], row["density"]), []).append(row)
    return [
        Line(*key, values=tuple(row[value] for row in group), paths=tuple(Path(row["path"]) for row in group))
        for key, group in groups.items()
    ]


def full_network_once(rows: Iterable[Row]) -> list[Row]:
    """The rows with the full network first and once for each replicate: all strategies share their trunk."""
    levels = list(rows)
    full = {row["replicate"]: {**row, "strategy": FULL, "k": ""} for row in levels if row["level"] == 0}
    return [*full.values(), *(row for row in levels if row["level"])]


def directory_for(rows: Iterable[Row], root: Path) -> Path:
    """``<root>/report/lottery_<hash>``: the same runs compared again have the same place."""
    runs = sorted({os.path.relpath(row["path"], root) for row in rows})
    return root / "report" / f"lottery_{digest(chr(10).join(runs).encode())[:12]}"


def write_report(rows: Iterable[Row], directory: Path, reporter: Reporter) -> None:
    """Writes ``runs.csv``, ``table.csv`` (mean and spread over replicates), ``accuracy.svg`` and ``accuracy.png``.

    Full networks alone make no figure.
    """
    once = full_network_once(rows)
    lines = summarize(once)
    write_csv(directory / "runs.csv", COLUMNS, ([row[column] for column in COLUMNS] for row in once))
    write_csv(
        directory / "table.csv",
        ["strategy", "k", "level", "density", "mean_test_accuracy", "std_test_accuracy", "replicates"],
        ([*(line.strategy, line.k, line.level, line.density), line.mean, line.spread, len(line.values)]
         for line in lines),
    )  # fmt: skip
    if all(line.strategy == FULL for line in lines):
        return
    try:
        draw(lines, directory)
    except ImportError:
        reporter.warn("No figure: matplotlib is not installed; pip install 'adsynflow[plot]'")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table with a header."""
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


# The figure ----------------------------------------------------------------------------------------------------


def draw(lines: Sequence[Line], directory: Path) -> None:
    """Accuracy against density where a strategy has several densities, else strategy by strategy."""
    import matplotlib
    from matplotlib.figure import Figure

    series: dict[str, list[Line]] = {}
    several_k = len({(line.strategy, line.k) for line in lines}) > len({line.strategy for line in lines})
    for line in lines:
        name = f"{line.strategy}, k = {line.k}" if several_k and line.k else line.strategy
        series.setdefault(name, []).append(line)
    full = series.pop(FULL, [])

    with matplotlib.rc_context({"svg.hashsalt": "adsynflow", "font.size": 10, "axes.grid": True, "grid.alpha": 0.3}):
        figure = Figure(figsize=(6.4, 4), layout="constrained")
        axes = figure.subplots()
        for line in full:
            axes.axhline(100 * line.mean, color="black", linestyle="--", linewidth=1.2, label="full network")
            low, high = (100 * (line.mean + sign * line.spread) for sign in (-1, 1))
            axes.axhspan(low, high, color="black", alpha=0.08, linewidth=0)
        if any(len(group) > 1 for group in series.values()):
            against_density(axes, series)
        else:
            by_strategy(axes, series)
        axes.set_ylabel("test accuracy (%)")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False)
        directory.mkdir(parents=True, exist_ok=True)
        with atomic_write(directory / "accuracy.svg") as path:
            figure.savefig(path, format="svg", metadata={"Date": None})
        with atomic_write(directory / "accuracy.png") as path:
            figure.savefig(path, format="png", dpi=150)


def against_density(axes: Any, series: Mapping[str, Sequence[Line]]) -> None:
    """A curve for each strategy with its standard deviation; density falls to the right, as pruning goes on."""
    for index, (name, group) in enumerate(series.items()):
        ordered = sorted(group, key=lambda line: -line.density)
        axes.errorbar(
            [100 * line.density for line in ordered],
            [100 * line.mean for line in ordered],
            yerr=[100 * line.spread for line in ordered] if any(line.spread for line in ordered) else None,
            color=COLORS[index % len(COLORS)], marker=MARKERS[index % len(MARKERS)], label=name,
            markersize=5, linewidth=1.5, capsize=3,
        )  # fmt: skip
    densities = sorted({100 * line.density for group in series.values() for line in group}, reverse=True)
    axes.set_xscale("log")
    axes.invert_xaxis()
    if len(densities) <= 8:
        axes.set_xticks(densities, [f"{density:.3g}" for density in densities])
        axes.minorticks_off()
    axes.set_xlabel("prunable weights kept (%)")


def by_strategy(axes: Any, series: Mapping[str, Sequence[Line]]) -> None:
    """Each replicate as a dot, mean and standard deviation beside them."""
    for index, group in enumerate(series.values()):
        color = COLORS[index % len(COLORS)]
        for line in group:
            values = [100 * value for value in line.values]
            if len(values) > 1:
                axes.scatter([index - 0.12] * len(values), values, color=color, alpha=0.5, s=16)
            axes.errorbar(
                index, 100 * line.mean, yerr=100 * line.spread if line.spread else None,
                color=color, marker=MARKERS[index % len(MARKERS)], markersize=6, capsize=4,
            )  # fmt: skip
    labels = [f"{name}\n{100 * group[0].density:.3g}% kept" for name, group in series.items()]
    axes.set_xticks(range(len(series)), labels)
    axes.set_xlim(-0.5, len(series) - 0.5)
    axes.grid(visible=False, axis="x")
