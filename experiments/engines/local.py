"""Several processes on this machine, each of which imports PyTorch once and does many tasks."""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import LifoQueue
from typing import Any

import experiments
from experiments.engines import in_process
from experiments.engines.registry import Failure, engines
from experiments.engines.schedule import Schedule
from experiments.plan import Plan
from experiments.progress import fitted
from experiments.tasks import Task
from experiments.workspace import Workspace
from foundations.errors import UsageError
from foundations.watchdog import child_environment

MAIN = Path(experiments.__file__).parents[1] / "main.py"
LINES_SHOWN = 2
PATIENCE = 20  # seconds for a step and a checkpoint


@engines.register("local")
def run(plan: Plan, session: Workspace) -> list[Failure]:
    """``session.jobs`` tasks at a time; one alone needs no process of its own."""
    jobs = min(session.jobs, len(plan))
    if jobs < 2:
        return in_process.run(plan, session)
    reporter = session.context.reporter
    reporter.say(f"{len(plan)} tasks in {jobs} processes at once")
    # The threads of the schedule wait for the workers, which `release` ends.
    return Schedule(plan, jobs, Pool(session, jobs).do, session.release, reporter).run()


class Pool:
    """The workers, each of which does a task at a time."""

    def __init__(self, session: Workspace, jobs: int) -> None:
        self.idle: LifoQueue[Worker] = LifoQueue()  # the last one to have worked first: its process runs already
        for worker in workers_of(session, jobs):
            self.idle.put(worker)

    def do(self, task: Task) -> Failure | None:
        """Has a worker do a task; runs in a thread that waits for it."""
        worker = self.idle.get()
        worker.busy = True
        try:
            return worker.do(task)
        finally:
            worker.busy = False
            self.idle.put(worker)


def workers_of(session: Workspace, number: int) -> "list[Worker]":
    """So many workers; those of the session's last plan first, since a start takes seconds."""
    session.workers += [Worker(session) for _ in range(number - len(session.workers))]
    return list(session.workers[:number])


class Worker:
    """A child process that does one task at a time; one that has died is replaced at the next task."""

    def __init__(self, session: Workspace) -> None:
        self.session = session
        self.process: subprocess.Popen[str] | None = None
        self.stopped = False
        self.busy = False
        self.at = ""
        self.lock = threading.Lock()

    def do(self, task: Task) -> Failure | None:
        """Has a task done, and passes on what is said of it; how it failed, if it did."""
        message: dict[str, Any] = {"task": task.entries()}
        with self.lock:
            if self.stopped:
                return Failure(task, "stopped", refused=True)
            if self.process is None or self.process.poll() is not None:
                self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  the process writes there as long as it lives
                self.process = subprocess.Popen(
                    [sys.executable, str(MAIN), "task", "-"], env=child_environment(), text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                )  # fmt: skip
                message["session"] = self.session.entries()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except OSError:
            return self.died(task)
        with self.session.context.reporter.line(self.line(task)):
            for line in self.process.stdout:
                answer = json.loads(line)
                if "ended" in answer:
                    return None if answer["ended"] == "done" else failure(task, answer)
                self.pass_on(task, answer)
        return self.died(task)

    def line(self, task: Task) -> Callable[[int], str]:
        """How far the task is, by its own process."""
        self.at = ""
        return lambda width: fitted([task.label, task.part], self.at, width)

    def pass_on(self, task: Task, answer: Mapping[str, Any]) -> None:
        """What is said while a task is done; see ``experiments.engines.worker``."""
        reporter = self.session.context.reporter
        if "warning" in answer:
            reporter.warn(f"{task.experiment}: {answer['warning']}")
        if "line" in answer:
            self.at = answer["line"]
        if "epoch" in answer:
            reporter.epoch(answer["epoch"], bool(answer.get("last")))
        if "steps" in answer:
            reporter.advanced(task, answer["steps"])

    def died(self, task: Task) -> Failure:
        """The process has ended in the middle of a task."""
        assert self.process is not None
        code = self.process.wait()
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.strip()]
        why = f": {' '.join(lines[-LINES_SHOWN:])}" if lines else ""
        return Failure(task, f"its process ended with exit code {code}{why}", refused=False, details="\n".join(lines))

    def stop(self) -> None:
        """Ends the process and starts no other; in the middle of a training it writes a checkpoint first."""
        with self.lock:
            self.stopped = True
            if self.process is not None and self.process.poll() is None:
                if self.busy:
                    self.process.terminate()
                else:
                    self.process.kill()

    def wait(self) -> None:
        """Waits until the process is gone; one that does not go is killed."""
        if self.process is not None:
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.errors.close()


def failure(task: Task, answer: Mapping[str, Any]) -> Failure:
    """What a worker says of a task that failed."""
    exit_code = answer.get("exit_code", UsageError.exit_code)
    return Failure(task, answer["reason"], answer["refused"], answer.get("details", ""), exit_code=exit_code)
