"""A watchdog: a process that another one of this program has started ends with it, however that one ends."""

import os
import signal
import threading
import time

PARENT = "ADSYNFLOW_PARENT"
PAUSE = 0.2  # seconds between two looks


def child_environment() -> dict[str, str]:
    """The environment variables of a child of this process."""
    return {**os.environ, PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """In a child, starts to watch for the parent's end; elsewhere does nothing."""
    parent = os.environ.pop(PARENT, "")
    if parent:
        threading.Thread(target=watch, args=[int(parent)], daemon=True).start()


def watch(parent: int) -> None:
    """Ends this process as soon as the process ``parent`` is its parent no more.

    A parent that is killed cannot end its children itself. Their files are whole at any time.
    """
    while os.getppid() == parent:
        time.sleep(PAUSE)
    os.kill(os.getpid(), signal.SIGTERM)
