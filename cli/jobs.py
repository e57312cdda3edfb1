"""Several runs at once, each a process of its own that runs a command of this program."""

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import cli
from cli.parent import child_environment
from foundations.errors import UsageError
from foundations.reporting import Reporter

MAIN = Path(cli.__file__).parents[1] / "main.py"
LINES_SHOWN = 2


class Ending(NamedTuple):
    """How a process ended: exit code, and what it wrote to standard error."""

    code: int
    errors: str

    @property
    def lines(self) -> list[str]:
        """What it wrote, without empty lines."""
        return [line for line in self.errors.splitlines() if line.strip()]


class Processes:
    """Children of this process; none of them outlives an interruption, nor this process."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.stopped = False
        self.lock = threading.Lock()

    def run(self, command: Sequence[str]) -> Ending:
        """Runs a command line to its end."""
        with self.lock:
            if self.stopped:
                return Ending(0, "")
            process = subprocess.Popen(
                [sys.executable, str(MAIN), *command], env=child_environment(),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            self.running.add(process)
        _, errors = process.communicate()
        with self.lock:
            self.running.discard(process)
        return Ending(process.returncode, errors)

    def stop(self) -> None:
        """Ends what runs and starts nothing more."""
        with self.lock:
            self.stopped = True
            for process in self.running:
                process.terminate()


def run_all(
    commands: Sequence[Sequence[str]],
    jobs: int,
    what: str,
    reporter: Reporter,
    ended: Callable[[int, Ending], None] | None = None,
) -> None:
    """Runs command lines of this program, ``jobs`` at a time.

    Args:
        commands: each with the subcommand first.
        jobs: the number of processes at once.
        what: what they are called together, such as ``children``.
        reporter: shows how many have ended.
        ended: is told of each that ends, with its place among ``commands``; without it, one that fails ends all.

    Raises:
        UsageError: one of them failed; what was running is ended, and what it had done stays on disk.
    """
    processes = Processes()
    reporter.say(f"{len(commands)} {what} in {min(jobs, len(commands))} processes at once")
    with ThreadPoolExecutor(jobs) as pool, reporter.progress(what, len(commands)) as advance:
        try:
            places = {pool.submit(processes.run, command): place for place, command in enumerate(commands)}
            for future in as_completed(places):
                ending = future.result()
                if ended is not None:
                    ended(places[future], ending)
                elif ending.code:
                    why = "\n".join(ending.lines[-LINES_SHOWN:])
                    raise UsageError(f"One of the {what} ended with exit code {ending.code}:\n{why}")
                advance(1)
        except BaseException:
            processes.stop()
            raise
