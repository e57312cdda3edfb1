"""The run directory: files that are whole or absent, one writer at a time, a marker when all is done."""

import contextlib
import hashlib
import json
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from foundations.errors import UsageError
from foundations.reporting import Reporter

# What the readers of JSON, safetensors and PyTorch's files raise at bytes that they did not write.
UNREADABLE = (
    ValueError, EOFError, RuntimeError, LookupError, TypeError, AttributeError, OSError, SafetensorError,
    pickle.UnpicklingError,
)  # fmt: skip


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; what was written there takes its place only if nothing failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp makes files that only their owner may read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class Store:
    """One run's directory.

    Every file is written whole and then renamed into place. A file that cannot be read raises ``UsageError`` with
    its name and what to do. The directory is made by the first write.
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

    # JSON ----------------------------------------------------------------------------------------------------

    def write_json(self, name: str, value: Any) -> None:
        """Writes ``value`` as readable JSON; NaN and infinity become null, since JSON has neither."""
        with atomic_write(self / name) as path:
            path.write_text(json.dumps(finite(value), indent=2, allow_nan=False) + "\n")

    def read_json(self, name: str) -> Any:
        """What ``write_json`` wrote."""
        with self._intact(name):
            return json.loads((self / name).read_text())

    def write_rows(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Writes ``rows`` as JSON lines."""
        with atomic_write(self / name) as path:
            path.write_text("".join(json.dumps(finite(row), allow_nan=False) + "\n" for row in rows))

    def read_rows(self, name: str) -> list[dict[str, Any]]:
        """The JSON lines of a file; an absent file has none."""
        if not self.has(name):
            return []
        with self._intact(name):
            return [json.loads(line) for line in (self / name).read_text().splitlines()]

    # Tensors -------------------------------------------------------------------------------------------------

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Writes tensors by name as safetensors, in plain memory order."""
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        with atomic_write(self / name) as path:
            path.write_bytes(save(plain))

    def read_tensors(self, name: str) -> dict[str, Tensor]:
        """What ``write_tensors`` wrote, on the CPU."""
        with self._intact(name):
            return load((self / name).read_bytes())

    def write_state(self, name: str, value: Any) -> None:
        """Writes nested dictionaries, lists, numbers and tensors (an optimizer's state, a checkpoint)."""
        with atomic_write(self / name) as path:
            torch.save(value, path)

    def read_state(self, name: str) -> Any:
        """What ``write_state`` wrote, on the CPU. Runs no code that the file may hold."""
        with self._intact(name):
            return torch.load(self / name, map_location="cpu", weights_only=True)

    # The whole run -------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether the run has ended and its result stands in ``done.json``."""
        return self.has("done.json")

    def finish(self, result: Mapping[str, Any]) -> None:
        """Marks the run as done, with its result."""
        self.write_json("done.json", result)

    def result(self) -> dict[str, Any]:
        """The result of a run that is done."""
        result: dict[str, Any] = self.read_json("done.json")
        return result

    @contextlib.contextmanager
    def lock(self, reporter: Reporter, unless: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Holds the directory for this process; waits, and says so, while another process holds it.

        Yields whether it is held: not where ``unless``, asked every half second while waiting, came true.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self / ".lock")
        try:
            lock.acquire(timeout=0.1)
        except Timeout:
            reporter.say(f"Waiting for another process that works in {self.path}")
        while not (lock.is_locked or unless()):
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0.5)
        try:
            yield lock.is_locked
        finally:
            lock.release()

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


def finite(value: Any) -> Any:
    """``value`` with every float that JSON cannot hold replaced by None."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return value


def digest(*parts: bytes | memoryview) -> str:
    """The sha256 of some bytes, in hex."""
    summed = hashlib.sha256()
    for part in parts:
        summed.update(part)
    return summed.hexdigest()
