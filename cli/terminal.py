"""Tables on standard output."""

import itertools
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence

from experiments.runs.listing import state_text
from experiments.runs.rows import density_text
from foundations.formats import Row
from foundations.text import printable, printable_text

GAP = "  "
WHERE = "where"
"""The heading of a column of paths."""


def say(*texts: str) -> None:
    """Print texts, a line or some each, with what a terminal would not show escaped."""
    print(*map(printable_text, texts), sep="\n", end="\n" * bool(texts))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: ruled on a terminal that has room for that, in aligned columns elsewhere.

    Where a terminal has no room, paths of a last column stand whole below the table, a line each, and other cells go on
    in the next line.
    """
    headers, *rows = ([printable(cell) for cell in line] for line in (headers, *rows))
    width = width_of_terminal()
    paths = []
    if width is not None and headers[-1] == WHERE and ruled_width(headers, rows) > width:
        paths = [row[-1] for row in rows]
        headers, *rows = (line[:-1] for line in (headers, *rows))
    if width is None or ruled_width(headers, rows) > width:
        print(*aligned(*(wrapped(headers, rows, width) if width else (headers, rows))), sep="\n")
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(*headers)
        for row in rows:
            table.add_row(*row)
        Console(highlight=False, markup=False).print(table)
    print(*paths, sep="\n", end="\n" * bool(paths))


def ruled_width(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    return sum(column_widths(headers, rows)) + 3 * len(headers) + 1


def wrapped(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Return a table that fits a width if it can: cells go on in lines of their own, broken between words."""
    widths = column_widths(headers, rows)
    words = [[word for cell in column for word in cell.split()] for column in zip(headers, *rows, strict=True)]
    least = [max(map(len, own), default=0) for own in words]
    while sum(widths) + len(GAP) * (len(widths) - 1) > width and widths != least:
        place = max(range(len(widths)), key=lambda place: widths[place] - least[place])
        widths[place] -= 1
    found = []
    for line in (headers, *rows):
        cells = zip(line, widths, strict=True)
        parts = [textwrap.wrap(cell, max(1, room), break_long_words=False) for cell, room in cells]
        found += [list(part) for part in itertools.zip_longest(*parts, fillvalue="")]
    return found[0], found[1:]


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in aligned columns."""
    widths = column_widths(headers, rows)
    return [
        GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (headers, *rows)
    ]


def column_widths(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]


def listed(entries: Mapping[str, str], indent: str = "  ") -> str:
    """Return a line for each name and its text."""
    width = max(map(len, entries), default=0)
    return "\n".join(printable(f"{indent}{name:<{width}}  {text}".rstrip()) for name, text in entries.items())


def width_of_terminal() -> int | None:
    """Return the width of the terminal; None if standard output is none."""
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
"""What goes to a second line below each row, in this order, until the table fits."""
ALWAYS = ("key", "state", "accuracy")
"""Columns that are shown even if they say the same of all runs."""


def run_table(rows: Sequence[Row], width: int | None) -> list[str]:
    """Return the lines of a table of runs; what all rows share stands above it.

    Columns that find no room stand on a line below each row.

    Args:
        rows: of ``experiments.runs.listing``.
        width: how many characters a line may have; None for any number, which is the whole table.
    """
    columns = {name: [printable(cell(name, row)) for row in rows] for name in HEADERS}
    if width is None:
        return table_of(columns)
    columns = {name: cells for name, cells in columns.items() if name in ALWAYS or any(cells)}
    same = {
        name: cells[0] for name, cells in columns.items()
        if len(rows) > 1 and name not in ALWAYS and len(set(cells)) == 1
    }  # fmt: skip
    shown = {name: cells for name, cells in columns.items() if name not in same}
    below: dict[str, list[str]] = {}
    for name in FIRST_TO_GO:
        if max(map(len, table_of(shown))) <= width:
            break
        if name in shown:
            below[name] = shown.pop(name)
    header, *lines = table_of(shown)
    for place, line in enumerate(lines):
        more = {HEADERS[name]: below[name][place] for name in HEADERS if name in below and below[name][place]}
        text = ", ".join(f"{name} {value}" for name, value in more.items())
        lines[place] = "\n".join([line, *textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    ")])
    of_all = ", ".join(f"{HEADERS[name]} {text}" for name, text in same.items())
    return [*([f"of all: {of_all}"] if same else []), header, *"\n".join(lines).split("\n")]


def table_of(columns: Mapping[str, Sequence[str]]) -> list[str]:
    return aligned([HEADERS[name] for name in columns], list(zip(*columns.values(), strict=True)))


def cell(name: str, row: Row) -> str:
    if name == "key":
        return str(row["run"].partition("/")[0])
    if name == "state":
        return state_text(row)
    if name == "within":
        return within_text(row)
    value = row.get(name)
    if value is None:
        return ""
    if name == "density":
        return density_text(row["density_asked"])
    return f"{value:.2%}" if name in ("accuracy", "barrier") else size_text(value) if name == "size" else str(value)


def size_text(size: float) -> str:
    """Return a number of bytes as text: ``512 B``, ``3.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def within_text(row: Row) -> str:
    """Return which part of its run a row is: level ``1``, its branch ``1 shuffle``; of an analysis ``2 children``, of a
    search for k the criterion."""
    level, branch, children = row.get("level"), row.get("branch") or "", row.get("children")
    if children is not None:
        return f"{children} children"
    return f"{'' if level is None else level} {branch.rpartition('_')[0]}".strip()
