"""A watchdog: a process that another one of this program has started ends with it, however that one ends."""

import os
import signal
import threading
import time

PARENT = "ADSYNFLOW_PARENT"
PAUSE = 0.2  # seconds between two looks
GRACE = 10  # seconds for a step and a checkpoint


def child_environment() -> dict[str, str]:
    """The environment variables of a child of this process."""
    return {**os.environ, PARENT: str(os.getpid())}


def end_with_parent() -> bool:
    """In a child, starts to watch for the parent's end; whether this is one."""
    parent = os.environ.pop(PARENT, "")
    if parent:
        threading.Thread(target=watch, args=[int(parent)], daemon=True).start()
    return bool(parent)


def watch(parent: int) -> None:
    """Ends this process as soon as the process ``parent`` is its parent no more.

    A parent that is killed cannot end its children itself. They are asked to stop, as by a scheduler, and write a
    checkpoint; one that does not come to it is ended, since its files are whole at any time.
    """
    while os.getppid() == parent:
        time.sleep(PAUSE)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)
