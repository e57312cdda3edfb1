"""Tables on standard output, that of all runs among them."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.runs.directory import Row
from experiments.runs.listing import state_text
from foundations.text import printable

GAP = "  "
WHERE = "where"
"""The heading of a column of paths."""


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: ruled on a terminal, in aligned columns elsewhere.

    Paths of a last column for which a terminal has no room stand below the table, a line each, so that they stay whole.
    """
    headers, *rows = ([printable(cell) for cell in line] for line in (headers, *rows))
    if (width := width_of_terminal()) is None:
        print(*aligned(headers, rows), sep="\n")
        return
    from rich.console import Console
    from rich.table import Table

    paths = []
    if headers[-1] == WHERE and sum(column_widths(headers, rows)) + 3 * len(headers) + 1 > width:
        paths = [row[-1] for row in rows]
        headers, *rows = (line[:-1] for line in (headers, *rows))
    table = Table()
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)
    print(*paths, sep="\n", end="\n" * bool(paths))


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = column_widths(headers, rows)
    return [
        GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (headers, *rows)
    ]


def column_widths(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]


def listed(entries: Mapping[str, str], indent: str = "  ") -> str:
    """Return a line for each name, with what is said of it."""
    width = max(map(len, entries), default=0)
    return "\n".join(printable(f"{indent}{name:<{width}}  {text}".rstrip()) for name, text in entries.items())


def width_of_terminal() -> int | None:
    """Return the columns of a line of standard output; None where it is no terminal, and has as many as it wants."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


HEADERS: Mapping[str, str] = {
    "key": "run", "replicate": "rep", "model": "model", "dataset": "data", "pruning_strategy": "strategy",
    "density": "density", "k": "k", "within": "level", "state": "state",
    "accuracy": "acc", "barrier": "barrier", "size": "size",
}  # fmt: skip
"""The columns of the table, in order, and their headings. A run's key begins with its kind."""
FIRST_TO_GO = (
    "dataset", "model", "size", "density", "pruning_strategy", "k", "within", "replicate",
)  # fmt: skip
"""What is left out, in this order, until the table fits. Run, state, accuracy and barrier stay; k and level tell the
rows of one run apart, which have their strategy in common."""
ALWAYS = ("key", "state", "accuracy")
"""Columns that are shown even if they say the same of all runs."""


@dataclass(frozen=True)
class Column:
    name: str
    cells: Sequence[str]

    @property
    def header(self) -> str:
        return HEADERS.get(self.name, self.name)


def run_table(rows: Sequence[Row], width: int | None) -> list[str]:
    """The lines of the table of at least one row, with what holds for all rows above it.

    Args:
        rows: of ``experiments.runs.listing``.
        width: how many characters a line may have; None for any number, which is the whole table.
    """
    columns = [Column(name, [printable(cell(name, row)) for row in rows]) for name in HEADERS]
    if width is None:
        return aligned([column.header for column in columns], list(zip(*(c.cells for c in columns), strict=True)))
    columns = [column for column in columns if column.name in ALWAYS or any(column.cells)]
    same = [] if len(rows) < 2 else [c for c in columns if c.name not in ALWAYS and len(set(c.cells)) == 1]
    shown = [column for column in columns if column not in same]
    left_out = []
    for name in FIRST_TO_GO:
        if line_width(shown) <= width:
            break
        left_out += [column.header for column in shown if column.name == name]
        shown = [column for column in shown if column.name != name]
    lines = aligned([column.header for column in shown], list(zip(*(c.cells for c in shown), strict=True)))
    if same:
        lines.insert(0, "of all: " + ", ".join(f"{column.header} {column.cells[0]}" for column in same))
    if left_out:
        lines.append(f"no room for: {', '.join(left_out)} (--wide)")
    return lines


def line_width(columns: Sequence[Column]) -> int:
    widths = column_widths([column.header for column in columns], list(zip(*(c.cells for c in columns), strict=True)))
    return sum(widths) + len(GAP) * (len(widths) - 1)


def cell(name: str, row: Row) -> str:
    if name == "key":
        return str(row["run"].partition("/")[0])
    if name == "state":
        return state_text(row)
    if name == "within":
        return within_text(row)
    value = row.get(name)
    return "" if value is None else FORMATS.get(name, str)(value)


def size_text(size: float) -> str:
    """Return a number of bytes as text: ``512 B``, ``3.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def within_text(row: Row) -> str:
    """Which part of its run a row is: level ``1``, its branch ``1 shuffle``; of an analysis ``2 children``, of a search
    for k the criterion."""
    level, branch, children = row.get("level"), row.get("branch") or "", row.get("children")
    if children is not None:
        return f"{children} children"
    return f"{'' if level is None else level} {branch.rpartition('_')[0]}".strip()


FORMATS: Mapping[str, Callable[[Any], str]] = {
    "density": lambda value: f"{100 * value:.4g}%",
    "accuracy": lambda value: f"{value:.2%}",
    "barrier": lambda value: f"{value:.2%}",
    "size": size_text,
}
