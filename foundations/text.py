"""Times, and what others have written, such as names, reasons and logs, made fit to be shown."""

from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What the cells begin with that a spreadsheet takes for formulas."""


def summary_of_docstring(doc: str | None) -> str:
    """Return the first paragraph of a docstring on one line: all of its first sentence, wherever lines break."""
    return " ".join((doc or "").strip().partition("\n\n")[0].split())


def duration(seconds: float) -> str:
    """Return a text such as ``0:03:12``, or ``2 d 5 h`` from two days on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24} d {hours % 24} h" if hours >= 48 else f"{hours}:{minutes:02}:{rest:02}"


def printable(line: str) -> str:
    """Return ``line`` with what a terminal would not show as text escaped, as Python writes it.

    So are escape sequences, which could change what stands on the terminal, and marks that turn the direction of text.
    """
    return "".join(char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in line)


def printable_text(text: str) -> str:
    """Return a text of several lines, each :func:`printable`."""
    return "\n".join(map(printable, text.split("\n")))


def spreadsheet_cell(value: Any) -> Any:
    """Return a cell for CSV: a text that a spreadsheet would compute is quoted by an apostrophe, a number is not."""
    if not isinstance(value, str) or len(value) < 2 or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
