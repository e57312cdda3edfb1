"""Rows of levels put together: the replicates of one subnetwork, with mean, deviation and how each ended.

A row is one of ``result_rows``. Where experiments differ in more than strategy, k and density it also has ``varied``,
the hyperparameters in which they differ, by name, as text.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.report.numbers import Numbers, measured_numbers
from experiments.report.tables import percent
from experiments.runs.rows import DONE, ENDINGS, density_text
from foundations.averages import average, standard_deviation
from foundations.formats import Row

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
    """What the mask keeps, exactly."""
    values: tuple[float, ...]
    """Of the replicates that have a result."""
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
    density_asked: float | None = None
    """What the mask was asked to keep; None where that is not known."""
    kept: int | None = None
    """The number of weights that the mask keeps, in the first replicate."""
    measured: Numbers = field(default_factory=dict)
    """What ``--measure`` has found, of the replicates that have it."""
    key: str = ""
    """Of the experiment, whose levels are pruned one from another; of the full network its trunk's."""

    @property
    def mean(self) -> float | None:
        return average(self.values)

    @property
    def standard_deviation(self) -> float:
        """Over the replicates (with n - 1); 0 for a single one."""
        return standard_deviation(self.values) or 0.0

    @property
    def asked(self) -> float:
        """The density that was asked for where that is known: 0.1, though the mask may keep 0.0997 of the weights."""
        return self.density if self.density_asked is None else self.density_asked

    @property
    def kept_text(self) -> str:
        """The same as text: ``10%``."""
        return density_text(self.asked)

    @property
    def kept_of_level(self) -> str:
        """What each level keeps of the one before, as text."""
        return density_text(self.asked ** (1 / max(1, self.level)))

    @property
    def lies_idle(self) -> bool:
        """Whether it keeps weights that lie on no path, as far as a table would show it."""
        return self.effective_density is not None and f"{self.effective_density:.2%}" != f"{self.density:.2%}"

    @property
    def effective_text(self) -> str:
        """The effective density; that asked for where every kept weight lies on a path, ``-`` where it is not known."""
        if self.effective_density is None:
            return "-"
        return f"{100 * self.effective_density:.3g}%" if self.lies_idle else self.kept_text

    @property
    def counted(self) -> str:
        """``n=3``, or ``2 of 3; 1 collapsed``."""
        return count(self.states or [DONE] * len(self.values), len(self.values))

    @property
    def whole(self) -> bool:
        return set(self.states) <= {DONE}

    @property
    def text(self) -> str:
        """Mean and deviation in percent, with the number of replicates unless it is a single one that is done."""
        number = f" ({self.counted})" if len(self.values) > 1 or not self.whole else ""
        return f"{percent(self.values)}{number}"

    @property
    def early_stopping(self) -> str:
        """``98.03% +- 0.12 at 4200it``; ``-`` where it is not known."""
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


def count(states: Sequence[str], results: int) -> str:
    """Return ``n=3``, or what became of the others: ``2 of 3; 1 collapsed``.

    Args:
        states: of all replicates.
        results: how many of them have a result.
    """
    total, numbers = len(states), Counter(states)
    parts = [f"n={total}" if results == total else f"{results} of {total}"]
    return "; ".join([*parts, *(f"{numbers[state]} {state}" for state in ENDINGS if state != DONE and numbers[state])])


def not_whole(lines: Iterable[Replicates]) -> list[str]:
    """Return a note on each line of which not all replicates ended as they should."""
    return [
        f"{line.strategy}{f', k = {line.k}' if line.k else ''}, {line.kept_text} kept: {line.counted}"
        for line in lines if not line.whole
    ]  # fmt: skip


def summarize(rows: Iterable[Row], value: str = "test_accuracy", lost: Sequence[Row] = ()) -> list[Replicates]:
    """Return the replicates of each experiment, level, density and branch, in the order of their first rows.

    Args:
        rows: of levels or branches.
        value: what is averaged.
        lost: rows of whole runs that are damaged: each line of their experiment counts them.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        density = None if "key" in row else row["density"]  # a key and a level say it already
        branch = Path(row["path"]).name if "branch" in row else ""  # with its fields
        at = (row.get("key"), row["strategy"], row["k"], row["level"], density, branch)
        groups.setdefault(at, []).append(row)
    return [
        line_of(group, value, [row["state"] for row in lost if row["key"] == key])
        for (key, *_), group in groups.items()
    ]


def line_of(group: Sequence[Row], value: str, lost: Sequence[str] = ()) -> Replicates:
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
        density_asked=first.get("density_asked"),
        kept=first.get("kept"),
        measured=measured_numbers(group),
        key=first.get("key", ""),
    )


def full_network_once(rows: Iterable[Row]) -> list[Row]:
    """Return the rows with the full networks first, once for each trunk and replicate: strategies share their trunk.

    A full network has of ``varied`` what all the experiments over its trunk agree in.
    """
    levels = list(rows)
    shared: dict[tuple[str, int], list[Row]] = {}
    for row in levels:
        if row["level"] == 0:
            shared.setdefault((trunk_of(row), row["replicate"]), []).append(row)
    full = [
        {**row, "strategy": FULL, "k": "", "key": trunk, "varied": agreed(group), "path": place_of_full(row)}
        for (trunk, _), group in shared.items() for row in group[-1:]
    ]  # fmt: skip
    return [*full, *(row for row in levels if row["level"])]


def trunk_of(row: Row) -> str:
    """Return the key of the trunk that a level 0 is, in whose directory its ``model`` lies; empty before it is done."""
    return Path(row.get("model", "")).parent.parent.name


def place_of_full(row: Row) -> Path:
    """Return the directory of the trunk that a level 0 is."""
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
