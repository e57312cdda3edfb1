"""JSON, JSON lines and CSV as bytes, each with the number of its format.

A file says which version of its format it has: a JSON object in its first entry, JSON lines in each line, a CSV in
its last column, always under the name ``format``. A file without a number was written before there were any; it is
format 0 and is read like format 1. A number is raised when a reader of the old format would misunderstand the new one;
a field or column that is merely added has a default that means "as before" instead.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from foundations import files
from foundations.errors import UsageError

FORMAT = "format"

NEWEST: Mapping[str, int] = {
    files.DESC: 1,
    files.ENVIRONMENT: 1,
    files.ENVIRONMENT_COPY: 1,
    files.NETWORK: 1,
    files.DONE: 1,
    files.METRICS: 1,
    files.MASK_UPDATES: 1,
    files.SPARSITY_REPORT: 1,
    files.INTERPOLATION: 1,
    files.INSTABILITY: 1,
}
"""The newest format of each file: the one that is written. What is not listed (the tables of reports) has 1."""


class NewerFormat(UsageError):
    """A newer program has written the file: there is nothing wrong with it."""


def newest(name: str) -> int:
    """The format in which a file of this name is written."""
    return NEWEST.get(name, 1)


def encode_json(name: str, value: Mapping[str, Any]) -> bytes:
    """A readable JSON object, the format's number first."""
    return (json.dumps(_numbered(name, value), indent=2, allow_nan=False) + "\n").encode()


def decode_json(path: Path, content: bytes) -> dict[str, Any]:
    """The inverse of :func:`encode_json`.

    Raises:
        UsageError: a newer program wrote the file.
        ValueError: it is no JSON object.
    """
    return _without_number(path, json.loads(content))


def encode_rows(name: str, rows: Iterable[Mapping[str, Any]]) -> bytes:
    """JSON lines, the format's number first in each."""
    return "".join(json.dumps(_numbered(name, row), allow_nan=False) + "\n" for row in rows).encode()


def decode_rows(path: Path, content: bytes) -> list[dict[str, Any]]:
    """The inverse of :func:`encode_rows`; raises like :func:`decode_json`.

    A last line without its end is dropped: whoever appended it was stopped on the way.
    """
    whole = content[: content.rfind(b"\n") + 1]
    return [_without_number(path, json.loads(line)) for line in whole.splitlines()]


def encode_table(name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """CSV with a line of column names and the format's number in a last column; None becomes an empty field."""
    if FORMAT in columns:
        raise ValueError(f"{name}: the column {FORMAT!r} is that of the format's number")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, FORMAT])
    writer.writerows([*row, newest(name)] for row in rows)
    return text.getvalue().encode()


def decode_table(path: Path, content: bytes) -> list[dict[str, str]]:
    """The rows of a table by column name, as text.

    Raises:
        UsageError: a newer program wrote the file.
        ValueError, csv.Error: it is no table.
    """
    if not content.endswith(b"\n"):
        raise ValueError("its last line is not whole")
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a line has more or fewer fields than there are columns")
    return [_without_number(path, {**row, FORMAT: int(row[FORMAT])} if FORMAT in row else row) for row in rows]


def finite(value: Any) -> Any:
    """``value`` with every float that JSON cannot hold replaced by None."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return value


def _numbered(name: str, entries: Mapping[str, Any]) -> dict[str, Any]:
    if FORMAT in entries:
        raise ValueError(f"{name}: the entry {FORMAT!r} is that of the format's number")
    return {FORMAT: newest(name), **finite(entries)}


def _without_number(path: Path, entries: Any) -> dict[str, Any]:
    """The entries without the number of their format, which must be one that this program knows."""
    if not isinstance(entries, dict):
        raise ValueError(f"expected an object, found {type(entries).__name__}")
    number = entries.pop(FORMAT, 0)
    if not isinstance(number, int) or number < 0:
        raise UsageError(f"{path} has the unknown format {number!r}; this program reads up to {newest(path.name)}")
    if number > newest(path.name):
        raise NewerFormat(
            f"{path} was written by a newer version of this program (format {number}; this one reads up to "
            f"{newest(path.name)})"
        )
    return entries
