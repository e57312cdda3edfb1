"""The tables at the end of a command."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from cli.terminal import print_table


def print_lottery_results(rows: Sequence[dict[str, Any]]) -> None:
    """One line for each level; where there are several replicates, one for each level with mean and spread."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["strategy"], row["k"], row["level"], row["density"]), []).append(row)
    lines = []
    for (strategy, k, level, density), group in groups.items():
        where = group[0]["path"] if len(group) == 1 else group[0]["path"].parent.parent
        accuracies = [row["test_accuracy"] for row in group]
        lines.append(
            [
                strategy if level else "(full network)",
                k if level else "",
                str(level),
                f"{density:.2%}",
                spread(accuracies),
                str(where),
            ]
        )
    print_table(["strategy", "k", "level", "density", "test accuracy", "where"], lines)


def spread(accuracies: Sequence[float]) -> str:
    """``91.20%``, or mean, standard deviation and number of several: ``91.20% +- 0.15 (n=3)``."""
    if len(accuracies) == 1:
        return f"{accuracies[0]:.2%}"
    return f"{mean(accuracies):.2%} +- {100 * stdev(accuracies):.2f} (n={len(accuracies)})"
