"""Tables for files and for the terminal, and where reports lie."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.report.figures.palette import FORMS, images
from foundations import files, formats
from foundations.averages import average, standard_deviation
from foundations.disk import where_writable
from foundations.formats import Row, digest
from foundations.reporting import Reporter
from foundations.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A table of texts, with notes below it."""

    headers: Sequence[str]
    cells: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def table_of(columns: Mapping[str, Sequence[str]], notes: Sequence[str] = ()) -> Table:
    """Return a table from its columns by their headings; those without cells are left out."""
    shown = {name: cells for name, cells in columns.items() if cells}
    return Table(list(shown), [list(line) for line in zip(*shown.values(), strict=True)], notes)


def grouped(rows: Iterable[Row], *names: str) -> list[list[Row]]:
    """Return rows that agree in some entries, together, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.values())


def percent(values: Sequence[float | None]) -> str:
    """Return ``91.20%``, or mean and standard deviation of several: ``91.20% +- 0.15``; ``-`` if one is missing."""
    mean, deviation = average(values), standard_deviation(values)
    if mean is None:
        return "-"
    return f"{mean:.2%}" + ("" if deviation is None else f" +- {100 * deviation:.2f}")


def directory_for(kind: str, runs: Iterable[Path], root: Path, alone: str = "") -> Path:
    """Return ``<root>/report/<kind>_<hash>``: the same runs compared again have the same place, in whatever order.

    Args:
        kind: ``lottery``, ``stability`` or ``criteria``.
        runs: the directories that are compared.
        root: where all runs are; it may be moved.
        alone: where, within its own directory, a single run has its report; without that it lies like several.
    """
    paths = set(runs)
    if alone and len(paths) == 1:
        return paths.pop() / alone
    names = sorted(os.path.relpath(path, root) for path in paths)
    return root / files.REPORT / f"{kind}_{digest(chr(10).join(names).encode())[:12]}"


CSV = tuple[Sequence[str], Iterable[Sequence[Any]]]
"""Column names, and the rows below them."""
Figures = Mapping[str, Callable[[], "Figure"]]


def as_csv(rows: Sequence[Row], columns: Sequence[str] | None = None) -> CSV:
    """Return rows under the names of all their entries, or under some columns."""
    names = list(dict.fromkeys(name for row in rows for name in row)) if columns is None else columns
    return names, [[row.get(name) for name in names] for row in rows]


def write_files(here: Store, tables: Mapping[str, CSV], figures: Figures, reporter: Reporter) -> None:
    """Write tables (CSV) and figures (SVG, PNG), by name, and say where.

    Files that would stay the same are not touched. Figures are not even drawn if they are there and so are just
    these tables; delete the directory to draw them all the same. A missing matplotlib and a read-only directory are
    no errors: a warning says so.
    """
    contents = {f"{name}.csv": formats.encode_table(here / f"{name}.csv", *table) for name, table in tables.items()}
    there = all(here.has(f"{name}.{form}") for name in figures for form in FORMS)
    drawn = there and all(here.holds(name, content) for name, content in contents.items())
    with where_writable(lambda error: reporter.warn(f"No tables and figures are written: {error}")):
        if not drawn:
            with here.lock(Reporter()):
                drawn = draw(here, figures)
                for name, content in contents.items():  # last, since they vouch for the figures
                    here.write_bytes(name, content)
        reporter.say(f"{'Tables and figures' if drawn else 'Tables'}: {here.path}")
        if not drawn:
            reporter.warn("No figures: matplotlib is not installed; pip install 'adsynflow[plot]'")


def draw(here: Store, figures: Figures) -> bool:
    """Write figures; return False without any if matplotlib is not installed."""
    try:
        for name, make in figures.items():
            for form, content in images(make).items():
                here.write_bytes(f"{name}.{form}", content)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return False
    return True
