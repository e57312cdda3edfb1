"""The run directory: files that are whole or absent, one writer at a time, a marker when all is done."""

import contextlib
import csv
import errno
import hashlib
import io
import itertools
import json
import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from foundations import files, formats, locks
from foundations.disk import append_lines, atomic_write, named, sync_directory
from foundations.errors import UsageError
from foundations.reporting import Reporter

if TYPE_CHECKING:  # PyTorch takes seconds to import, which who reads JSON only need not wait for
    from torch import Tensor

# What the readers of JSON, CSV, safetensors and PyTorch's files raise at bytes that they did not write. No OSError is
# among them: no permission or a network disk that is away says nothing about what the file holds.
UNREADABLE = (
    ValueError, EOFError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError,
    pickle.UnpicklingError, csv.Error,
)  # fmt: skip

NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class Store:
    """One run's directory, and the only door to it.

    Every file is written whole and then renamed into place; only JSON lines may be added to. JSON, JSON lines and CSV
    carry the number of their format (``foundations.formats``), which is added on writing and checked and taken out on
    reading. A file that cannot be read, or that a newer program has written, raises ``UsageError`` with its name and
    what to do. The directory is made by the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def sub(self, name: str) -> "Store":
        """The store of a part of this run (a level, a child)."""
        return Store(self.path / name)

    def has(self, name: str) -> bool:
        """Whether a file called ``name`` is there."""
        return (self / name).exists()

    # Bytes ---------------------------------------------------------------------------------------------------

    def holds(self, name: str, content: bytes) -> bool:
        """Whether a file is there with just this content."""
        return self.has(name) and self.read_bytes(name) == content

    def write_bytes(self, name: str, content: bytes) -> bool:
        """Writes a file unless it has this content already; whether it was written."""
        if self.holds(name, content):
            return False
        with atomic_write(self / name) as path:
            path.write_bytes(content)
        return True

    def read_bytes(self, name: str) -> bytes:
        """The content of a file as it is; ``OSError`` with its name if it cannot be read."""
        with named(self / name):
            return (self / name).read_bytes()

    def append_line(self, name: str, line: str) -> None:
        """Adds a line to a log. A process that is killed may leave half of it, which no result depends on."""
        self.path.mkdir(parents=True, exist_ok=True)
        with named(self / name), (self / name).open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    # JSON and CSV --------------------------------------------------------------------------------------------

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Writes a readable JSON object; NaN and infinity become null, since JSON has neither."""
        with atomic_write(self / name) as path:
            path.write_bytes(formats.encode_json(name, value))

    def read_json(self, name: str) -> dict[str, Any]:
        """What ``write_json`` wrote."""
        with self._intact(name):
            return formats.decode_json(self / name, self.read_bytes(name))

    def write_rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes ``rows`` as JSON lines."""
        with atomic_write(self / name) as path:
            path.write_bytes(formats.encode_rows(name, rows))

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds ``rows`` to JSON lines. Stopped on the way, it may leave a torn last line, which readers drop."""
        append_lines(self / name, formats.encode_rows(name, rows))

    def read_rows(self, name: str) -> list[dict[str, Any]]:
        """The JSON lines of a file; an absent file has none, and a last line that is torn is none."""
        if not self.has(name):
            return []
        with self._intact(name):
            return formats.decode_rows(self / name, self.read_bytes(name))

    def write_table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Writes ``rows`` as CSV below a line of column names; None becomes an empty field.

        A file that has this content already is not touched.
        """
        self.write_bytes(name, formats.encode_table(name, columns, rows))

    def read_table(self, name: str) -> list[dict[str, str]]:
        """The rows of a CSV file by column name, as text; an absent file has none."""
        if not self.has(name):
            return []
        with self._intact(name):
            return formats.decode_table(self / name, self.read_bytes(name))

    # Tensors -------------------------------------------------------------------------------------------------

    def write_tensors(
        self, name: str, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str] | None = None
    ) -> None:
        """Writes tensors by name as safetensors, in plain memory order.

        Args:
            name: of the file.
            tensors: on any device, in any memory format.
            metadata: at most one entry: the order of several, and so the bytes, would change from run to run.
        """
        if metadata is not None and len(metadata) > 1:
            raise ValueError(f"{name}: more than one metadata entry ({', '.join(metadata)})")
        from safetensors.torch import save

        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        with atomic_write(self / name) as path:
            path.write_bytes(save(plain, dict(metadata) if metadata else None))

    def read_tensors(self, name: str) -> "dict[str, Tensor]":
        """What ``write_tensors`` wrote, on the CPU."""
        from safetensors.torch import load

        with self._intact(name):
            return load(self.read_bytes(name))

    def write_state(self, name: str, value: Any) -> None:
        """Writes nested dictionaries, lists, numbers and tensors (an optimizer's state, a checkpoint)."""
        import torch

        content = io.BytesIO()  # torch.save reports a full disk as if it were a defect of its own
        torch.save(value, content)
        with atomic_write(self / name) as path:
            path.write_bytes(content.getbuffer())

    def read_state(self, name: str) -> Any:
        """What ``write_state`` wrote, on the CPU. Runs no code that the file may hold."""
        import torch

        with self._intact(name):
            return torch.load(io.BytesIO(self.read_bytes(name)), map_location="cpu", weights_only=True)

    # The whole run -------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether the run has ended and its result stands in ``done.json``."""
        return self.has(files.DONE)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Marks the run as done, with its result."""
        self.write_json(files.DONE, result)

    def result(self) -> dict[str, Any]:
        """The result of a run that is done."""
        return self.read_json(files.DONE)

    @contextlib.contextmanager
    def lock(self, reporter: Reporter, unless: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Holds the directory for this process; waits, and says so, while another process holds it.

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
        """Removes the directory with all that it holds."""
        shutil.rmtree(self.path, ignore_errors=True)

    def put_aside(self) -> Path:
        """Renames the directory to ``<name>.aside_<n>``, with the smallest n that is free, and returns its new path.

        Raises:
            UsageError: another process works in it.
        """
        taken = (self.path.with_name(files.aside(self.path.name, number)) for number in itertools.count(1))
        place = next(path for path in taken if not path.exists())
        with locks.hold_if_free(self.path) as free:
            if not free:
                raise UsageError(f"{self.path} cannot be put aside: another process works in it")
            moved = self.path.rename(place)
            sync_directory(place.parent)
        return moved

    @contextlib.contextmanager
    def _intact(self, name: str) -> Iterator[None]:
        path = self / name
        try:
            yield
        except FileNotFoundError as error:
            raise UsageError(
                f"{path} is missing. Delete the directory {self.path} and run the same command again."
            ) from error
        except UNREADABLE as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UsageError(
                f"{path} is damaged ({reason[:100]}).\n"
                "Delete this file and run the same command again: what it held is computed anew."
            ) from error


def digest(*parts: bytes | memoryview) -> str:
    """The sha256 of some bytes, in hex."""
    summed = hashlib.sha256()
    for part in parts:
        summed.update(part)
    return summed.hexdigest()


def decode_tensors(content: bytes) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """The tensors of a safetensors file, and its metadata: the entry ``__metadata__`` of the JSON that it begins with.

    Raises:
        SafetensorError: the content is damaged.
    """
    from safetensors.torch import load

    tensors = load(content)
    length = int.from_bytes(content[:8], "little")
    return tensors, json.loads(content[8 : 8 + length]).get("__metadata__") or {}
