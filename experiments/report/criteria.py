"""Table and files of criteria for k."""

from collections.abc import Sequence
from pathlib import Path

from experiments.report.figures.criteria import criteria_figures, curve_csv
from experiments.report.tables import Table, as_csv, grouped, percent, write_files
from experiments.runs.searches import COSTS, Found
from foundations.averages import average
from foundations.formats import Row
from foundations.reporting import Reporter
from foundations.store import Store

COLUMNS = ("network", "criterion", "replicate", "k", *COSTS, "dense_training", "test_accuracy", "path")
"""Of ``criteria.csv``; costs in multiply-adds."""
CAPTION = "Costs of finding k, in dense trainings; training from k on is not among them."


def criteria_table(rows: Sequence[Row]) -> Table:
    """Return a line for each network and criterion, with means over the replicates; costs in dense trainings."""
    several = ["network"] if len({row["network"] for row in rows}) > 1 else []
    cells = []
    for group in grouped(rows, "network", "criterion"):
        costs = [average([row[name] / row["dense_training"] for row in group]) or 0.0 for name in COSTS]
        ks = ", ".join(dict.fromkeys(row["k"] or "none" for row in group))
        accuracy = percent([row["test_accuracy"] for row in group])
        about = [*(group[0][name] for name in several), group[0]["criterion"], ks]
        cells.append([*about, *(f"{cost:.3g}" for cost in (*costs, sum(costs))), accuracy])
    return Table([*several, "criterion", "k", *COSTS, "in all", "test accuracy"], cells)


def write_criteria(found: Sequence[Found], rows: Sequence[Row], directory: Path, reporter: Reporter) -> None:
    """Write ``criteria.csv``, the figure of each curve and its numbers, and say where they are."""
    drawn = criteria_figures(found)
    tables = {"criteria": as_csv(rows, COLUMNS), **{name: curve_csv(group) for name, (group, _) in drawn.items()}}
    write_files(Store(directory), tables, {name: make for name, (_, make) in drawn.items()}, reporter)
