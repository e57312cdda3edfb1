"""The processes of this program on one machine: their shares under torchrun, their parents, their memory."""

import ctypes
import os
import signal
import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """The part of each batch that one of several processes computes: neighbouring images, nearly equally many each.

    Args:
        number: of the process, from 0.
        of: the number of processes.
    """

    number: int = 0
    of: int = 1

    def part(self, size: int) -> slice:
        """Return which images of a batch of ``size`` these are."""
        return slice(size * self.number // self.of, size * (self.number + 1) // self.of)


def own_share() -> Share:
    """Return that of this process; the whole where it was not started by ``torchrun``."""
    if "MASTER_ADDR" not in os.environ:
        return Share()
    return Share(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def own_gpu() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


PARENT = "ADSYNFLOW_PARENT"
PAUSE = 0.2  # seconds between two looks
GRACE = 10  # seconds for a step and a checkpoint


def child_environment() -> dict[str, str]:
    return {**os.environ, PARENT: str(os.getpid())}


def end_with_parent() -> bool:
    """In a child, start to watch for the parent's end; return whether this is one."""
    parent = os.environ.pop(PARENT, "")
    if parent:
        threading.Thread(target=watch, args=[int(parent)], daemon=True).start()
    return bool(parent)


def watch(parent: int) -> None:
    """End this process as soon as the process ``parent`` is no longer its parent.

    A parent that is killed cannot end its children itself. They are asked to stop, as by a scheduler, and write a
    checkpoint; one that does not come to it is ended, since its files are whole at any time.
    """
    while os.getppid() == parent:
        time.sleep(PAUSE)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory(limit: int = 2**30) -> bool:
    """Let glibc keep freed blocks of up to ``limit`` bytes for later use; return whether it will.

    A network's activations are megabytes large. By default each is mapped anew in every step and given back, and
    the system clears its pages at the first touch: a tenth of a training step of a small network on a CPU. The
    peak of memory stays the same. With another C library nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, limit)) and bool(mallopt(M_TRIM_THRESHOLD, limit))
