"""Numbers of measurements (``--measure``), whatever they describe: a line for replicates, a column for a number."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.report.tables import Table, table_of
from foundations.comparisons import of_differences
from foundations.formats import Row

Numbers = Mapping[str, Sequence[float]]
"""Of replicates, by ``<measurement>.<number>``."""


@dataclass(frozen=True)
class Mean:
    """A mean over replicates and the half of its interval, 0 for a single one."""

    value: float
    half: float = 0.0

    def __str__(self) -> str:
        low, high = self.value - self.half, self.value + self.half
        return f"{self.value:.4g}" + (f" ({low:.4g} to {high:.4g})" if self.half else "")


def mean_of(values: Sequence[float]) -> Mean | None:
    found = of_differences(values)
    return None if found is None else Mean(found.mean, 0.0 if found.high is None else found.high - found.mean)


def measured_numbers(rows: Iterable[Row]) -> dict[str, tuple[float, ...]]:
    """Return the numbers that the rows of replicates have; no column of another kind has a dot in its name."""
    group = list(rows)
    names = dict.fromkeys(name for row in group for name, value in row.items() if "." in name and is_number(value))
    return {name: tuple(row[name] for row in group if is_number(row.get(name))) for name in names}


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def shown_names(lines: Iterable[Numbers]) -> list[str]:
    """Return the numbers that tables and figures show: those that are not of one layer or class."""
    return list(dict.fromkeys(name for line in lines for name in line if name.count(".") == 1))


def numbers_table(columns: Mapping[str, Sequence[str]], lines: Sequence[Numbers]) -> Table:
    """Return a table of lines with their numbers beside ``columns``; one without any number is empty."""
    shown = {name: [str(mean_of(line.get(name, ())) or "-") for line in lines] for name in shown_names(lines)}
    return table_of({**columns, **shown}) if shown else Table([], [])


def numbers_csv(lines: Sequence[Numbers]) -> tuple[list[str], list[list[float | None]]]:
    """Return ``mean_<number>``, ``low_<number>`` and ``high_<number>`` of those shown, and the rows below them."""
    names = shown_names(lines)
    cells: list[list[float | None]] = []
    for line in lines:
        found = [of_differences(line.get(name, ())) for name in names]
        cells.append([value for one in found for value in ((one.mean, one.low, one.high) if one else (None,) * 3)])
    return [f"{what}_{name}" for name in names for what in ("mean", "low", "high")], cells
