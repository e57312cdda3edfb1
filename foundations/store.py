"""The run directory: files that are whole or absent, one writer at a time, a marker when all is done."""

import contextlib
import csv
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from foundations import contents, files, formats
from foundations import disk as locks
from foundations.disk import NOT_WRITABLE, append_lines, atomic_write, named, sync_directory
from foundations.errors import UsageError
from foundations.recovery import advise
from foundations.reporting import Reporter

if TYPE_CHECKING:  # PyTorch takes seconds to import, which who reads JSON only need not wait for
    from torch import Tensor

# What the readers of JSON, CSV and safetensors raise at bytes that they did not write. No OSError is
# among them: no permission or a network disk that is away says nothing about what the file holds.
UNREADABLE = (
    ValueError, EOFError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError,
    MemoryError, SafetensorError, csv.Error,
)  # fmt: skip

class Store:
    """One run's directory, and the only door to it.

    Every file is written whole and then renamed into place; only JSON lines may be added to. It carries the number of
    its format, whose it is and a checksum (``foundations.formats``), which are added on writing and verified and taken
    out on reading. A file that cannot be read, that is another run's, or that a newer program has written, raises
    ``UsageError`` with its name and what to do. The directory is made by the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def sub(self, name: str) -> "Store":
        """Return the store of a part of this run (a level, a child)."""
        return Store(self.path / name)

    def has(self, name: str) -> bool:
        return (self / name).exists()

    # Bytes ---------------------------------------------------------------------------------------------------

    def holds(self, name: str, content: bytes) -> bool:
        return self.has(name) and self.read_bytes(name) == content

    def write_bytes(self, name: str, content: bytes) -> bool:
        """Write a file unless it has this content already; whether it was written."""
        with self._no_directory(name):
            if self.holds(name, content):
                return False
            self._write(name, content)
        return True

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a file as it is; ``OSError`` with its name if it cannot be read."""
        with named(self / name):
            return (self / name).read_bytes()

    def append_line(self, name: str, line: str) -> None:
        """Add a line to a log. A process that is killed may leave half of it, which no result depends on."""
        self.path.mkdir(parents=True, exist_ok=True)
        with named(self / name), (self / name).open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    # JSON and CSV --------------------------------------------------------------------------------------------

    def write_json(self, name: str, value: Mapping[str, Any], parts: Mapping[str, str | None] | None = None) -> None:
        """Write a readable JSON object; NaN and infinity become null, since JSON has neither.

        ``parts`` are the files that it is the marker of: see :meth:`sums`.
        """
        self._write(name, formats.encode_json(self / name, value, parts))

    def read_json(self, name: str) -> dict[str, Any]:
        with self.intact(name):
            entries = formats.decode_json(self / name, self.read_bytes(name))
            contents.check(name, self.path.name, entries)
            return entries

    def write_rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        self._write(name, formats.encode_rows(self / name, rows))

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add ``rows`` to JSON lines. Stopped on the way, it may leave a torn last line, which readers drop."""
        with self._no_directory(name):
            append_lines(self / name, formats.encode_rows(self / name, rows))

    def read_rows(self, name: str) -> list[dict[str, Any]]:
        """Return the JSON lines of a file; none if it is absent; a torn last line is left out."""
        if not self.has(name):
            return []
        with self.intact(name):
            rows = formats.decode_rows(self / name, self.read_bytes(name))
            for row in rows:
                contents.check(name, self.path.name, row)
            return rows

    def write_table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write ``rows`` as CSV below a line of column names; None becomes an empty field.

        A file that has this content already is not touched.
        """
        self.write_bytes(name, formats.encode_table(self / name, columns, rows))

    def read_table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a CSV file by column name, as text; an absent file has none."""
        if not self.has(name):
            return []
        with self.intact(name):
            return formats.decode_table(self / name, self.read_bytes(name))

    # Tensors -------------------------------------------------------------------------------------------------

    def write_tensors(
        self, name: str, tensors: "Mapping[str, Tensor]", about: Mapping[str, Any] | None = None
    ) -> None:
        """Write tensors by name, on any device, as safetensors, with plain values beside them."""
        from foundations.tensors import encode_tensors

        self._write(name, encode_tensors(self / name, tensors, about))

    def read_tensors(self, name: str) -> "dict[str, Tensor]":
        """Return what ``write_tensors`` wrote, on the CPU."""
        return self.read_tensors_about(name)[0]

    def read_tensors_about(self, name: str) -> "tuple[dict[str, Tensor], dict[str, Any]]":
        """Return the same, and the values beside them."""
        from foundations.tensors import decode_tensors

        with self.intact(name):
            return decode_tensors(self / name, self.read_bytes(name))

    def write_state(self, name: str, value: Any) -> None:
        """Write nested dictionaries, lists, numbers and tensors (an optimizer's state, a checkpoint)."""
        from foundations.tensors import encode_state

        self._write(name, encode_state(self / name, value))

    def read_state(self, name: str) -> Any:
        from foundations.tensors import decode_state

        with self.intact(name):
            return decode_state(self / name, self.read_bytes(name))

    # The whole run -------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether the run has ended, its result stands in ``done.json``, and the files that it lists are there."""
        return self.complete(files.DONE)

    def complete(self, marker: str) -> bool:
        """Return whether a marker and all files that it lists are there; their content is checked when they are read.

        Raises:
            UsageError: the marker is damaged.
        """
        return self.has(marker) and all(self.has(name) for name in self.parts(marker))

    def parts(self, marker: str) -> dict[str, str | None]:
        """Return the files that a marker lists, by their paths from here on, with the sha256 of their bytes.

        None stands for a file that may be added to later.
        """
        with self.intact(marker):
            return formats.decode_parts(self / marker, self.read_bytes(marker))

    def sums(self, *names: str, growing: Sequence[str] = ()) -> dict[str, str | None]:
        """Return what a marker lists: files as they are now, and those that may be added to later."""
        return {**{name: formats.digest(self.read_bytes(name)) for name in names}, **dict.fromkeys(growing)}

    def finish(self, result: Mapping[str, Any], *parts: str, growing: Sequence[str] = ()) -> None:
        """Mark the run as done, with its result and the names of the files that it consists of; see :meth:`sums`."""
        self.write_json(files.DONE, result, self.sums(*parts, growing=growing))

    def result(self) -> dict[str, Any]:
        return self.read_json(files.DONE)

    @contextlib.contextmanager
    def lock(self, reporter: Reporter, unless: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Hold the directory for this process; waits, and says so, while another process holds it.

        Yields whether it is held: not where ``unless``, asked every half second while waiting, came true. Temporary
        files that killed writers have left in the directory are deleted.
        """
        with locks.hold(self.path, reporter, unless) as held:
            yield held

    @property
    def locked(self) -> bool:
        """Whether a process holds the directory at this moment."""
        if not self.has(files.LOCK):
            return False
        try:
            with locks.hold_if_free(self.path) as free:
                return not free
        except OSError as error:
            if error.errno in NOT_WRITABLE:  # where this process could not work either
                return False
            raise

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def put_aside(self) -> Path:
        """Rename the directory to ``<name>.aside_<n>``, with the smallest n that is free, and returns its new path.

        Raises:
            UsageError: another process works in it.
        """
        with locks.hold_if_free(self.path) as free:
            if not free:
                raise UsageError(f"{self.path} cannot be put aside: another process works in it")
            moved = self.path.rename(files.free_aside(self.path))
            sync_directory(moved.parent)
        return moved

    @contextlib.contextmanager
    def intact(self, name: str) -> Iterator[None]:
        """Inside, whatever bytes of a file lead to that the program did not write becomes ``UsageError`` with advice.

        Of what is read, each entry that is relied on is checked in there; a ``UsageError`` that does not say where
        the file lies is about its content, too.
        """
        path = self / name
        try:
            with self._no_directory(name):
                yield
        except FileNotFoundError as error:
            raise UsageError(f"{path} is missing.\n{advise(self, name).text}") from error
        except UsageError as error:
            if str(self.path) in str(error):
                raise
            raise self.damaged(name, error) from error
        except UNREADABLE as error:
            raise self.damaged(name, error) from error

    def damaged(self, name: str, error: Exception) -> UsageError:
        """Return what is said of a file whose content led to an error."""
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = f"no {reason}" if isinstance(error, KeyError) else reason
        return UsageError(f"{self / name} is damaged ({reason[:200]}).\n{advise(self, name).text}")

    def _write(self, name: str, content: bytes) -> None:
        with self._no_directory(name), atomic_write(self / name) as path:
            path.write_bytes(content)

    @contextlib.contextmanager
    def _no_directory(self, name: str) -> Iterator[None]:
        """Inside, a directory in the place of a file becomes ``UsageError`` with advice."""
        try:
            yield
        except IsADirectoryError as error:
            path = self / name
            raise UsageError(f"{path} is a directory, where a file belongs.\n{advise(self, name).text}") from error
