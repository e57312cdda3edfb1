"""Rows and tables, for files and for the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foundations.averages import average, standard_deviation

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """What is printed at the end of a command."""

    headers: Sequence[str]
    cells: Sequence[Sequence[str]]


def grouped(rows: Iterable[Row], *names: str) -> list[list[Row]]:
    """Rows that agree in some entries, together, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.values())


def percent(values: Sequence[float | None]) -> str:
    """``91.20%``, or mean and standard deviation of several: ``91.20% +- 0.15``; ``-`` if one is missing."""
    mean, deviation = average(values), standard_deviation(values)
    if mean is None:
        return "-"
    return f"{mean:.2%}" + ("" if deviation is None else f" +- {100 * deviation:.2f}")
