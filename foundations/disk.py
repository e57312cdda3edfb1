"""Files that are whole or absent, and locks: one process at a time in a directory.

What has returned is on the disk: file and directory are flushed (fsync), so that it survives a loss of power too.

The lock is that of the ``filelock`` package: flock(2), which the kernel releases when its holder ends, however that
ends. On a network file system it holds between machines where the server and the mount support flock (NFS from Linux
2.6.12 on, without the option ``nolock``). Where there is no flock at all filelock takes a file that exists as the lock
and says so; after a crash of the machine that file may have to be deleted by hand.
"""

import contextlib
import errno
import os
import secrets
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from foundations import files
from foundations.reporting import WAITING, Reporter

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
    """Yield a temporary path beside ``path``; what was written there takes its place only if nothing failed."""
    make_directory(path.parent)
    with named(path):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.touch(exist_ok=False)  # unlike those of `tempfile`, with the rights that the process gives its files
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(path.parent)


def append_lines(path: Path, content: bytes) -> None:
    """Add lines to a file. Stopped on the way, or on a full disk, it leaves a beginning of ``content`` there.

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
    """Make a directory and those above it, where they are missing; ``OSError`` with its name where that cannot be."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error
    for place in reversed(missing):
        sync_directory(place.parent)


def sync_directory(path: Path) -> None:
    """Flush which files a directory has: a rename is on the disk only after that."""
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
    """Delete what killed writers have left in a directory that this process holds, so that no other writes there.

    Directories below it that have a lock of their own are left to those who hold them, reports to their writers.
    """
    for path in directory.iterdir():
        if files.is_left_over(path):
            path.unlink(missing_ok=True)
        elif path.is_dir() and not path.is_symlink() and not _of_others(path):
            sweep(path)


def _of_others(path: Path) -> bool:
    return (path / files.LOCK).exists() or path.name == files.REPORT or files.is_aside(path.name)


COMMAND_SHOWN = 300  # characters


@contextlib.contextmanager
def hold(directory: Path, reporter: Reporter, unless: Callable[[], bool]) -> Iterator[bool]:
    """Hold a directory for this process; see ``Store.lock``.

    Whoever gets it deletes what killed writers have left there.

    Raises:
        OSError: there can be no lock (no permission, ENOLCK); it names the lock's file.
    """
    make_directory(directory)
    lock = FileLock(directory / files.LOCK)
    if not acquired(lock, 0.1):
        reporter.say(f"Waiting for another process that works in {directory}{holder(directory)}")
    while not (lock.is_locked or unless()):
        with reporter.during(WAITING):
            time.sleep(0.5)
        make_directory(directory)  # `clean` may have removed it meanwhile
        acquired(lock, 0)
    if not lock.is_locked:
        yield False
        return
    try:
        sweep(directory)
        with signed(directory):
            yield True
    finally:
        lock.release()


def tidy(directory: Path) -> None:
    """Delete what killed processes have left below a directory, wherever none works now."""
    for path, folders in left_over(directory):
        with contextlib.suppress(OSError), hold_all(folders) as free:  # where nothing can be written nothing is deleted
            if free:
                path.unlink(missing_ok=True)


def left_over(directory: Path) -> Iterator[tuple[Path, list[Path]]]:
    """What processes that were killed, or are at work, have left below a directory: each with the locked directories
    above it. Links are not followed.
    """
    for folder, inner, names in os.walk(directory):
        inner.sort()
        for path in (Path(folder, name) for name in sorted(names)):
            if path.name.startswith(".") and files.is_left_over(path) and not path.is_symlink():
                above = [one for one in path.parents if one.is_relative_to(directory) and (one / files.LOCK).exists()]
                yield path, above


@contextlib.contextmanager
def hold_all(directories: Iterable[Path]) -> Iterator[bool]:
    """Hold those of some directories that have a lock; yield whether no other process holds one of them."""
    with contextlib.ExitStack() as stack:
        locked = [directory for directory in directories if (directory / files.LOCK).exists()]
        yield all(stack.enter_context(hold_if_free(directory)) for directory in locked)


@contextlib.contextmanager
def hold_if_free(directory: Path) -> Iterator[bool]:
    """Hold a directory that no other process holds; yield whether it does. Raises like :func:`hold`."""
    lock = FileLock(directory / files.LOCK)
    try:
        yield acquired(lock, 0)
    finally:
        lock.release()


def acquired(lock: FileLock, seconds: float) -> bool:
    """Try to get a lock; return whether it is held: not where its directory has just been removed."""
    with contextlib.suppress(Timeout, FileNotFoundError), named(Path(lock.lock_file)):
        lock.acquire(timeout=seconds)
    return lock.is_locked


@contextlib.contextmanager
def signed(directory: Path) -> Iterator[None]:
    """Inside, a file beside the lock says who holds it. It is a courtesy: where it cannot be written, there is none."""
    path = directory / files.LOCK_HOLDER
    command = shlex.join(sys.argv)[:COMMAND_SHOWN]
    with contextlib.suppress(OSError):
        path.write_text(f"pid {os.getpid()} on {socket.gethostname()}, {command}\n", errors="replace")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def holder(directory: Path) -> str:
    """Return ``": pid 12 on host, command"``; empty where that is not known."""
    try:
        text = (directory / files.LOCK_HOLDER).read_text(errors="replace").strip()
    except OSError:
        return ""
    return f": {text}" if text else ""
