"""The table of criteria for k."""

from collections.abc import Sequence

from experiments.report.tables import Table, grouped, percent
from experiments.runs.searches import COSTS
from foundations.averages import average
from foundations.formats import Row

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
