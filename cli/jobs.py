"""Several runs at once, each a process of its own that runs a command of this program."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import cli
from foundations.errors import UsageError
from foundations.reporting import Reporter

MAIN = Path(cli.__file__).parents[1] / "main.py"
LINES_SHOWN = 2


class Processes:
    """Children of this process; none of them outlives an interruption."""

    def __init__(self) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.stopped = False
        self.lock = threading.Lock()

    def run(self, command: Sequence[str]) -> tuple[int, str]:
        """Runs a command line to its end; exit code and what it wrote to standard error."""
        with self.lock:
            if self.stopped:
                return 0, ""
            process = subprocess.Popen(
                [sys.executable, str(MAIN), *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            self.running.add(process)
        _, errors = process.communicate()
        with self.lock:
            self.running.discard(process)
        return process.returncode, errors

    def stop(self) -> None:
        """Ends what runs and starts nothing more."""
        with self.lock:
            self.stopped = True
            for process in self.running:
                process.terminate()


def run_all(commands: Sequence[Sequence[str]], jobs: int, what: str, reporter: Reporter) -> None:
    """Runs command lines of this program, ``jobs`` at a time.

    Raises:
        UsageError: one of them failed; what was running is ended, and what it had done stays on disk.
    """
    processes = Processes()
    reporter.say(f"{len(commands)} {what} in {min(jobs, len(commands))} processes at once")
    with ThreadPoolExecutor(jobs) as pool, reporter.progress(what, len(commands)) as advance:
        try:
            for future in as_completed([pool.submit(processes.run, command) for command in commands]):
                code, errors = future.result()
                if code:
                    last = "\n".join(errors.strip().splitlines()[-LINES_SHOWN:])
                    raise UsageError(f"One of the {what} ended with exit code {code}:\n{last}")
                advance(1)
        except BaseException:
            processes.stop()
            raise
