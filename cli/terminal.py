"""Tables on standard output."""

import shutil
import sys
from collections.abc import Sequence

GAP = "  "


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output: ruled on a terminal, aligned columns elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table()
        for header in headers:
            table.add_column(header, overflow="fold")  # a path that is cut off is of no use
        for row in rows:
            table.add_row(*row)
        Console(highlight=False, markup=False).print(table)
        return
    print(*aligned(headers, rows), sep="\n")


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table in aligned columns."""
    widths = column_widths(headers, rows)
    return [
        GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (headers, *rows)
    ]


def column_widths(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """The characters of the longest cell of each column."""
    return [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]


def width_of_terminal() -> int | None:
    """The columns that a line of standard output has; None where it is no terminal, and has as many as it wants."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
