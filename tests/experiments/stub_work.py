"""What a stub task does, without PyTorch, so that a worker of the tests starts at once.

A folder has ``graph.json``: for each node what it waits for and what it does. ``log`` has a line for each attempt,
``<node>.done`` is the marker of a node that has ended well.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock


class Refused(Exception):
    """Stands for ``UsageError``."""


def graph_of(folder: Path) -> Mapping[str, Any]:
    """Node -> {"waits_for": [...], "does": ...}."""
    graph: Mapping[str, Any] = json.loads((folder / "graph.json").read_text())
    return graph


def attempts(folder: Path) -> list[str]:
    """The nodes in the order in which they were begun, by ``node`` or, from the second attempt on, again."""
    return (folder / "log").read_text().split() if (folder / "log").exists() else []


def perform(folder: Path, node: str, warn: Callable[[str], None]) -> None:
    """One attempt."""
    with (folder / "log").open("a") as log:
        log.write(f"{node}\n")
    first = attempts(folder).count(node) == 1
    match graph_of(folder)[node]["does"]:
        case "raise":
            raise ZeroDivisionError("a defect")
        case "raise once" if first:
            raise ZeroDivisionError("a defect")
        case "refuse":
            raise Refused("--lr=1: unsuitable")
        case "no space":
            raise OSError(28, "No space left on device", str(folder))
        case "exit":
            print("last words", "", "and why", sep="\n", file=sys.stderr, flush=True)
            os._exit(3)
        case "be killed once" if first:
            os.kill(os.getpid(), signal.SIGKILL)
        case "warn":
            warn("a layer is empty")
        case "print":
            print('{"ended": "failed"} is what a plug-in prints')
        case "wait":
            lock = FileLock(folder / f"{node}.lock")
            lock.acquire()
            (folder / f"{node}.waits").touch()
            time.sleep(60)
        case "interrupt":
            raise KeyboardInterrupt
    (folder / f"{node}.done").touch()
