"""``python -m benchmarks.studies.published --root=ROOT``: the curve of ``check lenet_imp`` beside the published one.

Writes docs/results/lenet-imp.csv from the runs of the check, and draws docs/results/lenet-imp.svg from it.
"""

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from benchmarks.studies.rows import RESULTS, read
from experiments.checks import checks
from experiments.define.grid import Grid
from experiments.session import Session
from foundations.comparisons import of_differences
from foundations.store import Store

FILE = RESULTS / "lenet-imp.csv"
COLUMNS = ("network", "level", "density", "replicate", "early_stopping_test_accuracy", "early_stopping_iteration",
           "test_accuracy")  # fmt: skip
PUBLISHED = (98.05, 98.11, 98.15, 98.04, 98.14, 98.26, 98.24, 98.33, 98.28, 98.26, 98.28, 98.20, 98.19, 98.19, 98.19,
             98.16, 97.89, 97.81, 97.59, 97.34, 96.98)  # fmt: skip
"""By level: kowshikgunda71/repro-lottery-ticket, CROSS_SEED_REPORT_N5.md, 50,000 iterations, n = 5."""
REINITIALIZED = {7: 97.946, 15: 97.086}

Row = Mapping[str, str]


def write(root: Path, data_dir: Path, size: str, replicates: int) -> None:
    """Write the rows of all levels and branches that the check's runs have."""
    protocol = checks.get("lenet_imp")().protocol(size, "mnist").with_replicates(replicates)
    session = Session(root=root, data_dir=data_dir, quiet=True, evaluate_every=protocol.evaluate_every)
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    for name, run in protocol.runs.items():
        flags = {**run.flags, "levels": tuple(range(21))}
        for experiment in Grid.of(session, run.command, flags, run.branch):
            table.writerows({"network": name, **row} for row in experiment.rows())
    Store(FILE.parent).write_bytes(FILE.name, text.getvalue().encode())


def by_level(rows: Sequence[Row], network: str) -> dict[int, dict[str, float]]:
    """Accuracies at early stopping in percent, by level and replicate."""
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        if row["network"] == network:
            accuracy = 100 * float(row["early_stopping_test_accuracy"])
            found.setdefault(int(row["level"]), {})[row["replicate"]] = accuracy
    return found


def lines(rows: Sequence[Row]) -> list[str]:
    """A Markdown table: ours, the difference to the full network by replicate, theirs, and both reinitialized."""
    density = {int(row["level"]): float(row["density"]) for row in rows}
    tickets, fresh = (by_level(rows, network) for network in ("imp", "reinitialized"))
    table = ["| kept | ours | minus the full network, paired | published | reinitialized | ticket minus it, paired "
             "| published |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    for level in sorted(tickets):
        own, other = tickets[level], fresh.get(level, {})
        to_full = of_differences([own[name] - tickets[0][name] for name in own]) if level else None
        to_fresh = of_differences([own[name] - other[name] for name in own if name in other])
        theirs = f"{PUBLISHED[level] - REINITIALIZED[level]:+.2f}" if level in REINITIALIZED else ""
        cells = [f"{100 * density[level]:.3g}%", text_of(own), to_full.text() if to_full else "",
                 f"{PUBLISHED[level]:.2f}", text_of(other), to_fresh.text() if to_fresh else "", theirs]  # fmt: skip
        table.append(f"| {' | '.join(cells)} |")
    return table


def text_of(values: Mapping[str, float]) -> str:
    """Mean, standard deviation and number."""
    found = [*values.values()]
    deviation = f" ± {stdev(found):.2f}" if len(found) > 1 else ""
    return f"{mean(found):.2f}{deviation} ({len(found)})" if found else ""


def draw(rows: Sequence[Row]) -> None:
    """Ours with its standard deviation, and theirs, against the density."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "lenet-imp"
    from matplotlib import pyplot as plt

    density = {int(row["level"]): 100 * float(row["density"]) for row in rows}
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for network, label, colour in (("imp", "ticket", "C0"), ("reinitialized", "reinitialized", "C1")):
        found = by_level(rows, network)
        values = [[*found[level].values()] for level in sorted(found)]
        axes.errorbar(
            [density[level] for level in sorted(found)], [mean(one) for one in values],
            yerr=[stdev(one) if len(one) > 1 else 0 for one in values], color=colour, marker="o", capsize=3,
            label=f"{label}, ours: mean and standard deviation of {max(map(len, values), default=0)}",
        )  # fmt: skip
    kept = [100 * (265_200 * 0.8**level + 1_000 * 0.9**level) / 266_200 for level in range(len(PUBLISHED))]
    axes.plot(kept, PUBLISHED, color="C0", linestyle="--", label="ticket, published (n = 5)")
    axes.plot([kept[level] for level in REINITIALIZED], [*REINITIALIZED.values()], "x--", color="C1",
              label="reinitialized, published (n = 5)")  # fmt: skip
    axes.set(xscale="log", xlabel="weights kept (%)", ylabel="test accuracy at early stopping (%)")
    axes.invert_xaxis()
    axes.legend(fontsize="small")
    figure.savefig(FILE.with_suffix(".svg"), metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.published", description=__doc__)
    parser.add_argument("--root", default="runs", type=Path)
    parser.add_argument("--data_dir", default="data", type=Path)
    parser.add_argument("--size", default="full")
    parser.add_argument("--replicates", default=5, type=int)
    arguments = parser.parse_args()
    write(arguments.root, arguments.data_dir, arguments.size, arguments.replicates)
    rows = read(FILE)
    draw(rows)
    print(*lines(rows), sep="\n")


if __name__ == "__main__":
    main()
