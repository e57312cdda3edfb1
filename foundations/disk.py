"""Files that are whole or absent, whatever stops the program, and errors that name their file.

What has returned is on the disk: file and directory are flushed (fsync), so that it survives a loss of power too.
"""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from foundations import files

TEMPORARY = re.compile(r"\..+\.(json|copy|jsonl|pt|safetensors|csv|svg|png|html)\.[a-z0-9_]{8}")
"""The names of files that are being written, and of those that a killed writer has left."""


NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def where_writable(otherwise: Callable[[OSError], None] = lambda error: None) -> Iterator[None]:
    """Inside, what cannot be written because nothing can be written there is left out: for what no result depends on.

    ``otherwise`` hears of it. Other errors, a full disk's say, are raised.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        otherwise(error)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; what was written there takes its place only if nothing failed."""
    make_directory(path.parent)
    with named(path):
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
        sync_directory(path.parent)


def append_lines(path: Path, content: bytes) -> None:
    """Adds lines to a file. Stopped on the way, or on a full disk, it leaves a beginning of ``content`` there.

    A torn last line, which another one was stopped in, is cut off first.
    """
    make_directory(path.parent)
    new = not path.exists()
    with named(path):
        with path.open("ab+") as file:
            if file.seek(0, os.SEEK_END) and _ends_torn(file):
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_directory(path.parent)


def _ends_torn(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read() != b"\n"


def make_directory(path: Path) -> None:
    """Makes a directory and those above it, where they are missing; ``OSError`` with its name where that cannot be."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    for place in reversed(missing):
        sync_directory(place.parent)


def sync_directory(path: Path) -> None:
    """Flushes which files a directory has: a rename is on the disk only after that."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows has no handle of a directory to flush
        return
    with named(path):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot flush a directory
                raise
        finally:
            os.close(handle)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """An ``OSError`` inside names ``path``: those of a read or a write carry no name, or that of a temporary file."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename == str(path):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def sweep(directory: Path) -> None:
    """Deletes what killed writers have left in a directory that this process holds, so that no other writes there.

    Directories below it that have a lock of their own are left to those who hold them, reports to their writers.
    """
    for path in directory.iterdir():
        if TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)
        elif path.is_dir() and not path.is_symlink() and not _of_others(path):
            sweep(path)


def _of_others(path: Path) -> bool:
    return (path / files.LOCK).exists() or path.name == files.REPORT or files.is_aside(path.name)
