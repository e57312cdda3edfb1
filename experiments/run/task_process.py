"""A process ``main.py task -`` as its parent sees it: a worker of this machine, or the child of a job of a cluster.

Imports no PyTorch: in a cluster the parent only waits, passes on what is said, and ends its child in time.
"""

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import experiments
from foundations.processes import child_environment

MAIN = Path(experiments.__file__).parents[1] / "main.py"
LINES_SHOWN = 2
PATIENCE = 20  # seconds for a step and a checkpoint
STOPPED = {code for number in (signal.SIGTERM, signal.SIGHUP) for code in (128 + number, -number)}
"""Exit codes of a process that somebody asked to stop: it has written a checkpoint, or was just about to begin."""
BEFORE_THE_END = signal.SIGUSR2
"""What Slurm sends before it ends an allocation, as ``submitit`` asks it to."""

Answer = Mapping[str, Any]
"""A line that comes out; see ``experiments.run.worker``."""


def failed(reason: str, refused: bool = False) -> Answer:
    return {"ended": "failed", "reason": reason, "refused": refused}


class TaskProcess:
    """A child process that does one task at a time; one that has died is replaced at the next task.

    Args:
        session: where and how tasks are done (``Session.entries``).
    """

    def __init__(self, session: Mapping[str, Any]) -> None:
        self.session = session
        self.process: subprocess.Popen[str] | None = None
        self.stopped = False
        self.busy = False
        self.lock = threading.Lock()

    def do(self, task: Mapping[str, Any], hear: Callable[[Answer], None]) -> Answer:
        """Have a task done, once: whoever started the process decides whether it is tried again.

        Args:
            task: ``Task.entries``.
            hear: takes what is said meanwhile.

        Returns:
            How it ended, with the entry ``ended``; if its process died, also with ``died``, the exit code.
        """
        message: dict[str, Any] = {"task": task, "tries": 1}
        self.busy = True
        try:
            with self.lock:
                if self.stopped:
                    return failed("stopped", refused=True)
                if self.process is None or self.process.poll() is not None:
                    self.process = self.start()
                    message["session"] = self.session
            return self.ask(self.process, message, hear)
        finally:
            self.busy = False

    def start(self) -> "subprocess.Popen[str]":
        """Start a process that ignores Slurm's signal before an allocation ends, which its parent handles."""
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  the process writes there as long as it lives
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [BEFORE_THE_END])  # a child has the mask of its parent
        try:
            return subprocess.Popen(
                [sys.executable, str(MAIN), "task", "-"], env=child_environment(), text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            )  # fmt: skip
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def ask(self, process: "subprocess.Popen[str]", message: Answer, hear: Callable[[Answer], None]) -> Answer:
        """Send a task, and read until it has ended."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
        except OSError:
            return self.died(process)
        for line in process.stdout:
            answer: Answer = json.loads(line)
            if "ended" in answer:
                return answer
            hear(answer)
        return self.died(process)

    def died(self, process: "subprocess.Popen[str]") -> Answer:
        """Return the answer of a process that has ended in the middle of a task."""
        code = process.wait()
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.strip()]
        why = f": {' '.join(lines[-LINES_SHOWN:])}" if lines else ""
        return {**failed(f"its process ended with exit code {code}{why}"), "details": "\n".join(lines), "died": code}

    def stop(self) -> None:
        """End the process and start no other; in the middle of a training it writes a checkpoint first."""
        with self.lock:
            self.stopped = True
            if self.process is not None and self.process.poll() is None:
                if self.busy:
                    self.process.terminate()
                else:
                    self.process.kill()

    def wait(self) -> None:
        """Wait until the process has ended; kill it if it does not."""
        if self.process is not None:
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.errors.close()
