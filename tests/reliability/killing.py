"""Command lines that are stopped at the n-th of everything that they do to the disk, and at the n-th optimizer step.

Each runs in a forked child of this process, where everything is imported already, so that a kill costs a fraction of a
second. It ends by ``os._exit``, as by SIGKILL: nothing is cleaned up.
"""

import contextlib
import os
import random
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli import main
from tests.steps import Steps, watched_steps
from training.segments import Pace

KILLED = 77
DUE = 0.3  # the share of steps after which a checkpoint is due: no training here takes seconds


@dataclass
class Killer:
    """Counts events, and ends the process at one of them, or has the disk fail from it on.

    An event is an optimizer step, a flush (fsync) of a file or directory, and the two moments before and after a
    rename; the marker that ends a run is renamed into place like every other file. What is not flushed yet may be on
    the disk or not: a file whose flush is the event keeps all, half or nothing of what was written last.

    Args:
        at: the number of the event; 0 for none.
        chance: chooses what is left of a file, and when checkpoints are due.
        error: the errno of flushes and renames from the event on, in the place of a kill.
    """

    at: int
    chance: random.Random
    error: int = 0
    events: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    """Of files at their last flush."""

    def event(self) -> bool:
        """Whether this is the one, or one after it on a disk that fails."""
        self.events += 1
        return self.events == self.at or bool(self.error and self.events > self.at)

    def strike(self) -> None:
        """Ends the process, or raises what a system call does, which knows no name."""
        if not self.error:
            os._exit(KILLED)
        raise OSError(self.error, os.strerror(self.error))

    def install(self, stack: contextlib.ExitStack) -> Steps:
        """Replaces what there is to be counted, in this process, for good; its steps."""
        replace = os.replace

        def flush(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            size = os.fstat(handle).st_size
            if self.event():
                if path.is_file():
                    before = self.sizes.get(str(path), 0)
                    os.truncate(path, before + int((size - before) * self.chance.choice((0, 0.5, 1))))
                self.strike()
            self.sizes[str(path)] = size  # nothing more: the machine goes on, and a real flush takes long

        def rename(source: Any, target: Any) -> None:
            if self.event():
                self.strike()
            replace(source, target)
            self.sizes[str(target)] = Path(target).stat().st_size
            if self.event() and not self.error:
                self.strike()

        def step(state: object) -> None:
            if self.event() and not self.error:
                self.strike()

        os.fsync, os.replace = flush, rename  # type: ignore[assignment]
        Pace.due = lambda pace: self.chance.random() < DUE  # type: ignore[method-assign]
        steps = stack.enter_context(watched_steps())
        steps.before.append(step)
        return steps


@dataclass(frozen=True)
class Ended:
    """What has become of a command line."""

    code: int
    events: int
    said: str

    @property
    def killed(self) -> bool:
        return self.code == KILLED


@dataclass(frozen=True)
class Child:
    """A forked child that runs a command line."""

    pid: int
    events: int
    """A pipe that says how many there were."""
    log: Path

    def wait(self) -> Ended:
        """What has become of it."""
        with os.fdopen(self.events) as pipe:
            events = int(pipe.read() or 0)
        _, status = os.waitpid(self.pid, 0)
        return Ended(os.waitstatus_to_exitcode(status), events, self.log.read_text())


def run(argv: Sequence[str], log: Path, at: int = 0, seed: int = 0, **more: Any) -> Ended:
    """Runs a command line to its end; arguments as of :func:`start`."""
    return start(argv, log, at, seed, **more).wait()


def start(
    argv: Sequence[str], log: Path, at: int = 0, seed: int = 0, error: int = 0,
    prepare: Callable[[Steps], object] = lambda steps: None,
) -> Child:  # fmt: skip
    """Starts a command line in a child that is killed at its event number ``at``.

    Args:
        argv: the command line.
        log: a file for what it says.
        at: 0 to let it end by itself.
        seed: of the times of checkpoints, and of what is left of a file.
        error: the errno that the disk fails with from that event on; the child is not killed.
        prepare: is called in the child before, with its watched steps.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return Child(child, reader, log)
    code = 1
    try:
        with log.open("w") as out, contextlib.ExitStack() as stack:
            sys.stdout = sys.stderr = out
            killer = Killer(at, random.Random(seed), error)
            prepare(killer.install(stack))
            code = main(list(argv))
            os.write(writer, str(killer.events).encode())
    except BaseException:
        log.write_text(traceback.format_exc())
    finally:
        os._exit(code)
