"""One process at a time in a directory, and who it is for those that wait.

The lock is that of the ``filelock`` package: flock(2), which the kernel releases when its holder ends, however that
ends. On a network file system it holds between machines where the server and the mount support flock (NFS from Linux
2.6.12 on, without the option ``nolock``). Where there is no flock at all filelock takes a file that exists as the lock
and says so; after a crash of the machine that file may have to be deleted by hand.
"""

import contextlib
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from foundations import files
from foundations.disk import make_directory, named, sweep
from foundations.reporting import Reporter

COMMAND_SHOWN = 300  # characters


@contextlib.contextmanager
def hold(directory: Path, reporter: Reporter, unless: Callable[[], bool]) -> Iterator[bool]:
    """Holds a directory for this process; see ``Store.lock``.

    Whoever gets it deletes what killed writers have left there.

    Raises:
        OSError: there can be no lock (no permission, ENOLCK); it names the lock's file.
    """
    make_directory(directory)
    lock = FileLock(directory / files.LOCK)
    if not acquired(lock, 0.1):
        reporter.say(f"Waiting for another process that works in {directory}{holder(directory)}")
    while not (lock.is_locked or unless()):
        reporter.sleep(0.5)
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


@contextlib.contextmanager
def hold_if_free(directory: Path) -> Iterator[bool]:
    """Holds a directory that no other process holds; yields whether it does. Raises like :func:`hold`."""
    lock = FileLock(directory / files.LOCK)
    try:
        yield acquired(lock, 0)
    finally:
        lock.release()


def acquired(lock: FileLock, seconds: float) -> bool:
    """Whether the lock could be had within so many seconds."""
    with contextlib.suppress(Timeout), named(Path(lock.lock_file)):
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
    """``": pid 12 on host, command"``; empty where that is not known."""
    try:
        text = (directory / files.LOCK_HOLDER).read_text(errors="replace").strip()
    except OSError:
        return ""
    return f": {text}" if text else ""
