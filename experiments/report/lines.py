"""Rows of lottery runs, put together into lines: the replicates of one subnetwork.

A row is what ``done.json`` of a level says, with ``strategy``, ``k``, ``replicate``, ``path`` and, unless it is
``done``, its ``state``; of a level that has come to no result, the same without that. Where experiments
differ in more than these it also has ``key``, the experiment's, and ``varied``: the hyperparameters in which the
command's experiments differ, by name, as text.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.report.naming import count
from experiments.report.tables import Row, percent
from experiments.runs.rows import DONE
from foundations.averages import average, standard_deviation

FULL = "(full network)"
EARLY_STOPPED = "early_stopping_test_accuracy"
HAVE_A_COLUMN = {"pruning_strategy", "k", "levels", "density", "pruning_fraction", "replicate"}
"""Hyperparameters that every table shows already."""


@dataclass(frozen=True)
class Replicates:
    """The replicates of one subnetwork."""

    strategy: str
    k: str
    level: int
    density: float
    values: tuple[float, ...]
    """Of the replicates that have come to a result."""
    paths: tuple[Path, ...]
    varied: Mapping[str, str] = field(default_factory=dict)
    """What tells the experiment from others of its strategy, k and density."""
    states: tuple[str, ...] = ()
    """How each replicate ended, those without a result included."""
    effective_density: float | None = None
    """Mean over the replicates of the density that counts only weights on a path from input to output."""
    training_cost: float | None = None
    """Mean multiply-adds of the whole training, finding the mask included, relative to the dense training's."""
    early_stopped: tuple[float, ...] = ()
    """Test accuracies of the replicates where their validation loss was smallest; none without a validation set."""
    early_stopping_iteration: float | None = None
    """The mean of the iterations at which that was."""

    @property
    def mean(self) -> float | None:
        return average(self.values)

    @property
    def standard_deviation(self) -> float:
        """Over these (with n - 1); 0 for a single one."""
        return standard_deviation(self.values) or 0.0

    @property
    def counted(self) -> str:
        """``n=3``, or ``2 of 3; 1 collapsed``."""
        return count(self.states or [DONE] * len(self.values), len(self.values))

    @property
    def whole(self) -> bool:
        return set(self.states) <= {DONE}

    @property
    def text(self) -> str:
        """Mean and standard deviation in percent, with the number of replicates unless it is a single one, done."""
        number = f" ({self.counted})" if len(self.values) > 1 or not self.whole else ""
        return f"{self.plain}{number}"

    @property
    def plain(self) -> str:
        """The same without the number."""
        return percent(self.values)

    @property
    def early_stopping(self) -> str:
        """What early stopping gives: ``98.03% +- 0.12 at 4200it``; ``-`` where that is not known."""
        if self.early_stopping_iteration is None:
            return "-"
        return f"{percent(self.early_stopped)} at {self.early_stopping_iteration:.0f}it"

    @property
    def place(self) -> Path:
        """The innermost directory that holds them all."""
        return Path(os.path.commonpath(self.paths))

    @property
    def is_full(self) -> bool:
        return self.strategy == FULL


def summarize(rows: Iterable[Row], value: str = "test_accuracy", lost: Sequence[Row] = ()) -> list[Replicates]:
    """One line for each experiment, level and density, in the order of their first rows.

    Args:
        rows: of levels or branches.
        value: what is averaged.
        lost: rows of whole runs that are damaged: each line of their experiment counts them.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        density = None if "key" in row else row["density"]  # a key and a level say it already
        groups.setdefault((row.get("key"), row["strategy"], row["k"], row["level"], density), []).append(row)
    return [
        line_of(group, value, [row["state"] for row in lost if row["key"] == key])
        for (key, *_), group in groups.items()
    ]


def line_of(group: Sequence[Row], value: str, lost: Sequence[str] = ()) -> Replicates:
    """Return the replicates of one subnetwork as a line."""
    first = min(group, key=lambda row: row.get(value) is None)  # what has no result may have no mask either
    stopped = [row for row in group if EARLY_STOPPED in row]
    return Replicates(
        strategy=first["strategy"],
        k=first["k"],
        level=first["level"],
        density=first["density"],
        values=tuple(row[value] for row in group if row.get(value) is not None),
        paths=tuple(Path(row["path"]) for row in group),
        varied=dict(first.get("varied", {})),
        states=(*(row.get("state", DONE) for row in group), *lost),
        effective_density=average([row.get("effective_density") for row in group]),
        training_cost=average([row.get("training_cost") for row in group]),
        early_stopped=tuple(row[EARLY_STOPPED] for row in stopped),
        early_stopping_iteration=average([row["early_stopping_iteration"] for row in stopped]),
    )


def full_network_once(rows: Iterable[Row]) -> list[Row]:
    """The rows with the full networks first and once for each trunk and replicate: all strategies share their trunk.

    A full network has of ``varied`` what all the experiments over its trunk agree in.
    """
    levels = list(rows)
    shared: dict[tuple[str, int], list[Row]] = {}
    for row in levels:
        if row["level"] == 0:
            shared.setdefault((trunk_of(row), row["replicate"]), []).append(row)
    full = [
        {**row, "strategy": FULL, "k": "", "key": trunk, "varied": agreed(group), "path": place_of_full(row)}
        for (trunk, _), group in shared.items()
        for row in group[-1:]
    ]
    return [*full, *(row for row in levels if row["level"])]


def trunk_of(row: Row) -> str:
    """Return the key of the trunk that a level 0 is; from its ``model``, a file in the trunk's directory."""
    return Path(row.get("model", "")).parent.parent.name


def place_of_full(row: Row) -> Path:
    """Return the directory of the trunk that a level 0 is, which is the same whatever run the level lies in."""
    here = Path(row["path"])
    return Path(os.path.normpath(here / row["model"])).parent if "model" in row else here


def agreed(rows: Sequence[Row]) -> dict[str, str]:
    """Return the entries of ``varied`` that are the same in all rows."""
    all_varied = [row.get("varied", {}) for row in rows]
    return {
        name: value for name, value in all_varied[0].items() if all(other.get(name) == value for other in all_varied)
    }


def varied_names(rows: Iterable[Row]) -> list[str]:
    """Return the hyperparameters that need a column of their own: those that are not the same in all rows."""
    all_varied = [row.get("varied", {}) for row in rows]
    names = dict.fromkeys(name for varied in all_varied for name in varied if name not in HAVE_A_COLUMN)
    return [name for name in names if len({varied.get(name, "") for varied in all_varied}) > 1]
