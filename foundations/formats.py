"""JSON, JSON lines and CSV as bytes: each with the number of its format, whose file it is, and a checksum.

The number lies in the first entry of a JSON object, in each JSON line, in a column of CSV and in the metadata of
safetensors (``foundations.tensors``), always under the name ``format``. It is raised when a reader of the old format
would misunderstand the new one; a field or column that is merely added has a default that means "as before" instead.
Format 2 is the oldest that is read. Every later format keeps its checksum, so that a damaged number can be told from a
newer one.

``sha256`` is computed over everything else in the file, and ``of`` says whose file it is (``files.identity``: the run's
key, the replicate, the part). Both are verified on reading; since they lie in the file itself, one rename replaces file
and checksum. JSON objects have the whole sha256 of their canonical text (sorted, without spaces, without the checksum
itself); JSON lines have its first 16 digits in each line, so that lines can be appended, and CSV has them in each row
and does not repeat whose it is. ``files`` in a marker lists the files that its part consists of, with the sha256 of
their bytes; null stands for a table whose rows come and go. Tables of reports are written again by every command and
have neither (format 1).
"""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from foundations import files
from foundations.errors import UsageError
from foundations.text import spreadsheet_cell

Row = dict[str, Any]
"""A row of a table or of a file of JSON lines: its values by column."""

FORMAT, OF, SHA256, FILES = "format", "of", "sha256", "files"
ENVELOPE = (FORMAT, OF, SHA256, FILES)
"""Entries that say something about the file, not about its subject."""

ABOUT = "about"
"""The one entry of a safetensors file's metadata."""
HEADER_LIMIT = 1 << 24
"""Bytes of a header that are read; one with ten thousand tensors has about a megabyte."""
CHECKED = 2
"""The format from which on a file has a checksum."""
SHORT = 16
"""Hex digits of the checksum of a line."""
DIVERGED = "diverged"
"""The entry of a last row of metrics at which a training was given up."""


class NewerFormat(UsageError):
    """A newer program has written the file: there is nothing wrong with it."""


def newest(name: str) -> int:
    """Return the format in which a file of this name is written."""
    return 1 if name.endswith(".csv") and name not in files.GROWING else 2


def read_about(path: Path) -> dict[str, Any]:
    """Return our metadata in the header of a safetensors file; its checksum, which covers the tensors, is not verified.

    Raises:
        ValueError, LookupError: there is none.
    """
    with path.open("rb") as file:
        about: dict[str, Any] = json.loads(json.loads(file.read(header_length(file.read(8))))["__metadata__"][ABOUT])
    return about


def header_length(content: bytes) -> int:
    """Return the number of bytes of a safetensors file's header; ``ValueError`` if it is larger than makes sense."""
    if (length := int.from_bytes(content[:8], "little")) > HEADER_LIMIT:
        raise ValueError(f"its header has {length} bytes; at most {HEADER_LIMIT} are read")
    return length


# JSON ----------------------------------------------------------------------------------------------------------------


def encode_json(path: Path, value: Mapping[str, Any], parts: Mapping[str, str | None] | None = None) -> bytes:
    """Return a readable JSON object, the format's number first; ``parts`` are the ``files`` of a marker."""
    sealed = seal(path, finite(value), {} if parts is None else {FILES: dict(parts)})
    return (json.dumps(sealed, indent=2, allow_nan=False) + "\n").encode()


def decode_json(path: Path, content: bytes) -> dict[str, Any]:
    """Return the inverse of :func:`encode_json`, without ``files``.

    Raises:
        UsageError: a newer program wrote the file.
        ValueError: it is not a JSON object, or its checksum does not match.
    """
    entries = unseal(path, parse(content))
    if entries.keys() & {FILES}:
        listed(entries[FILES])
    return {name: value for name, value in entries.items() if name != FILES}


def decode_parts(path: Path, content: bytes) -> dict[str, str | None]:
    """Return the ``files`` of a marker; raises like :func:`decode_json`."""
    return listed(unseal(path, parse(content)).get(FILES, {}))


def listed(value: Any) -> dict[str, str | None]:
    """Return ``value`` if it is a list of files; raise ``ValueError`` otherwise."""
    if not isinstance(value, dict) or not all(isinstance(entry, str | None) for entry in value.values()):
        raise ValueError(f"{FILES!r} is not a list of files")
    return value


def encode_row(path: Path, row: Mapping[str, Any]) -> bytes:
    return (json.dumps(seal(path, finite(row), digits=SHORT), allow_nan=False) + "\n").encode()


def encode_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(encode_row(path, row) for row in rows)


def decode_rows(path: Path, content: bytes) -> list[dict[str, Any]]:
    """Return the inverse of :func:`encode_rows`; raises like :func:`decode_json`.

    A last line without its end is dropped: whoever appended it was stopped on the way.
    """
    whole = content[: content.rfind(b"\n") + 1]
    return [unseal(path, parse(line)) for line in whole.splitlines()]


def parse(content: bytes | str) -> Any:
    """Decode JSON; raise ``ValueError`` for any other text, NaN and infinity among them."""
    return json.loads(content, parse_constant=refuse_constant, parse_float=finite_number)


def refuse_constant(text: str) -> NoReturn:
    """Raise ``ValueError``: Python reads NaN and Infinity, which JSON does not have."""
    raise ValueError(f"{text} is not a number")


def finite_number(text: str) -> float:
    """Return the number that ``text`` is; ``ValueError`` if it is too large for one."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is too large")
    return number


def finite(value: Any) -> Any:
    """Return ``value`` with every float that JSON cannot hold replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return value


# CSV -----------------------------------------------------------------------------------------------------------------


def encode_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Return CSV with a line of column names; None becomes an empty field.

    The last columns are the format's number and, in a file that is not written again by every command, a checksum.
    """
    if taken := sorted({*columns} & {*ENVELOPE}):
        raise ValueError(f"{path.name}: the column {taken[0]!r} is one that every table has")
    of, number, checked = files.identity(path), newest(path.name), newest(path.name) >= CHECKED
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, FORMAT, *([SHA256] if checked else [])])
    for row in rows:
        fields = ["" if value is None else spreadsheet_cell(str(value)) for value in (*row, number)]
        entries = {OF: of, **dict(zip([*columns, FORMAT], fields, strict=True))}
        writer.writerow([*fields, *([checksum(entries)[:SHORT]] if checked else [])])
    return text.getvalue().encode()


def decode_table(path: Path, content: bytes) -> list[dict[str, str]]:
    """Return the rows of a table by column name, as text.

    Raises:
        UsageError: a newer program wrote the file.
        ValueError, csv.Error: it is not a table, or a row's checksum does not match.
    """
    if not content.endswith(b"\n"):
        raise ValueError("its last line is not whole")
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))
    if any(None in row or None in row.values() for row in rows):
        raise ValueError("a line has more or fewer fields than there are columns")
    of = files.identity(path)
    return [_without_number(path, _checked_row(row, of)) for row in rows]


def _checked_row(row: Mapping[str, str], of: str | None) -> dict[str, Any]:
    """Return a row of a table with a number as its format, its checksum verified and left out."""
    entries: dict[str, Any] = {name: value for name, value in row.items() if name != SHA256}
    if SHA256 in row and row[SHA256] != checksum({OF: of, **entries})[:SHORT]:
        raise ValueError("checksum mismatch in a row: it is damaged, or another run's")
    entries[FORMAT] = int(row[FORMAT])
    if entries[FORMAT] == CHECKED and SHA256 not in row:
        raise ValueError("it has no checksums")
    return entries


# Checksums -----------------------------------------------------------------------------------------------------------


def digest(*parts: bytes | memoryview) -> str:
    """Return the sha256 of some bytes, in hex."""
    summed = hashlib.sha256()
    for part in parts:
        summed.update(part)
    return summed.hexdigest()


def checksum(entries: Mapping[str, Any], *data: bytes | memoryview) -> str:
    """Return the sha256 of entries, in their canonical text, and of further bytes."""
    return digest(json.dumps(entries, sort_keys=True, separators=(",", ":")).encode(), *data)


def seal(
    path: Path, entries: Mapping[str, Any], more: Mapping[str, Any] | None = None, digits: int = 64,
    data: Sequence[bytes | memoryview] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return entries with their format, whose file they are and a checksum in front.

    ``more`` are entries of the envelope, ``digits`` those of the checksum, and ``data`` further bytes of the file.
    """
    if taken := sorted({*ENVELOPE} & entries.keys()):
        raise ValueError(f"{path.name}: the entry {taken[0]!r} is one that every file has")
    of = files.identity(path)
    head = {FORMAT: newest(path.name), **({} if of is None else {OF: of})}
    rest = json.loads(json.dumps({**entries, **(more or {})}))  # as it is read: keys as text, tuples as lists
    return {**head, SHA256: checksum({**head, **rest}, *data)[:digits], **rest}


def unseal(path: Path, entries: Any, data: Sequence[bytes | memoryview] = ()) -> dict[str, Any]:
    """Return the inverse of :func:`seal`; ``files`` stays among the entries.

    Raises:
        UsageError: a newer program wrote the file.
        ValueError: this is not an object, its checksum does not match, or it belongs to another file.
    """
    if not isinstance(entries, dict):
        raise ValueError(f"expected an object, found {type(entries).__name__}")
    rest = {name: value for name, value in entries.items() if name != SHA256}
    if (stated := entries.get(SHA256)) is not None:
        if not isinstance(stated, str) or len(stated) < SHORT or not checksum(rest, *data).startswith(stated):
            raise ValueError("checksum mismatch")
    elif OF in entries or entries.get(FORMAT) == CHECKED:
        raise ValueError("it has no checksum")
    of, here = rest.pop(OF, None), files.identity(path)
    if None not in (of, here) and of != here:
        raise ValueError(f"it belongs to {of}")
    return _without_number(path, rest)


def _without_number(path: Path, entries: dict[str, Any]) -> dict[str, Any]:
    """Return the entries without the number of their format, which must be one that this program knows."""
    number = entries.pop(FORMAT, None)
    if not isinstance(number, int) or number < newest(path.name):
        raise ValueError(f"its format is {number!r}; this program reads format {newest(path.name)}")
    if number > newest(path.name):
        raise NewerFormat(
            f"{path} was written by a newer version of this program (format {number}; this one reads up to "
            f"{newest(path.name)})"
        )
    return entries
