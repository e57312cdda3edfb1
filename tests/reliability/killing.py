"""Command lines that are stopped at the n-th of everything that they do to the disk, and at the n-th optimizer step.

Each runs in a forked child of this process, where everything is imported already, so that a kill costs a fraction of a
second. It ends by ``os._exit``, as by SIGKILL: nothing is cleaned up.
"""

import contextlib
import os
import random
import stat
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli import main
from tests.steps import watched_steps
from training.checkpointing import Pace

KILLED = 77
DUE = 0.3  # the share of steps after which a checkpoint is due: no training here takes seconds


@dataclass
class Killer:
    """Counts events, and ends the process at one of them.

    An event is an optimizer step, a flush (fsync) of a file or directory, and the two moments before and after a
    rename; the marker that ends a run is renamed into place like every other file. What is not flushed yet may be on
    the disk or not: a file whose flush is the event keeps all, half or nothing of what was written last.

    Args:
        at: the number of the event; 0 for none.
        chance: chooses what is left of a file, and when checkpoints are due.
    """

    at: int
    chance: random.Random
    events: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    """Of files at their last flush."""

    def event(self) -> bool:
        """Whether this is the one."""
        self.events += 1
        return self.events == self.at

    def install(self, stack: contextlib.ExitStack) -> None:
        """Replaces what there is to be counted, in this process, for good."""
        replace = os.replace

        def flush(handle: int) -> None:
            path = os.readlink(f"/proc/self/fd/{handle}")
            status = os.fstat(handle)
            if self.event():
                if stat.S_ISREG(status.st_mode):
                    before = self.sizes.get(path, 0)
                    os.truncate(path, before + int((status.st_size - before) * self.chance.choice((0, 0.5, 1))))
                os._exit(KILLED)
            self.sizes[path] = status.st_size  # nothing more: the machine goes on, and a real flush takes long

        def rename(source: Any, target: Any) -> None:
            if self.event():
                os._exit(KILLED)
            replace(source, target)
            self.sizes[str(target)] = os.stat(target).st_size
            if self.event():
                os._exit(KILLED)

        def step(state: object) -> None:
            if self.event():
                os._exit(KILLED)

        os.fsync, os.replace = flush, rename  # type: ignore[assignment]
        Pace.due = lambda pace: self.chance.random() < DUE  # type: ignore[method-assign]
        stack.enter_context(watched_steps()).before.append(step)


@dataclass(frozen=True)
class Ended:
    """What has become of a command line."""

    code: int
    events: int
    said: str

    @property
    def killed(self) -> bool:
        return self.code == KILLED


def run(argv: Sequence[str], log: Path, at: int = 0, seed: int = 0) -> Ended:
    """Runs a command line in a child that is killed at its event number ``at``.

    Args:
        argv: the command line.
        log: a file for what it says.
        at: 0 to let it end by itself.
        seed: of the times of checkpoints, and of what is left of a file.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            with log.open("w") as out, contextlib.ExitStack() as stack:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
                sys.stdout = sys.stderr = out
                killer = Killer(at, random.Random(seed))
                killer.install(stack)
                code = main(list(argv))
                os.write(writer, str(killer.events).encode())
        except BaseException:
            log.write_text(traceback.format_exc())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        events = pipe.read()
    _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), int(events or at), log.read_text())
