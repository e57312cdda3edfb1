"""Command lines run for real, in directories of their own."""

import json
import shutil
import subprocess
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import pytest

from cli import main
from experiments.run import task_process
from experiments.run.worker import LineReporter
from experiments.session import Session, do_tasks

SMALL = ("--dataset=digits", "--model=mnist_lenet_16", "--training_steps=3ep", "--threads=1")


@dataclass
class Place:
    """A root and a data directory of a test's own."""

    root: Path
    data: Path

    @property
    def flags(self) -> list[str]:
        return [f"--root={self.root}", f"--data_dir={self.data}"]

    @property
    def untouched(self) -> bool:
        return not self.root.exists() and not self.data.exists()

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Time and bytes of every file below the root."""
        return {
            str(path.relative_to(self.root)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        }

    def one(self, pattern: str) -> Path:
        """The one path below the root that fits ``pattern``."""
        (path,) = self.root.glob(pattern)
        return path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "runs", tmp_path / "data")


@pytest.fixture(scope="session")
def finished_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lottery run that is done: levels 0 and 1, k = 1 epoch of 3. Not to be changed."""
    root = tmp_path_factory.mktemp("finished") / "runs"
    assert main(["lottery", *SMALL, "--k=1", "--levels=0-1", f"--root={root}"]) == 0
    return root


@pytest.fixture
def finished(finished_root: Path, place: Place) -> Place:
    """A copy of that run, with its files' times."""
    shutil.copytree(finished_root, place.root)
    return place


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Flags of a training of a second."""
    return SMALL


@dataclass
class Workers:
    """Stands in for ``subprocess.Popen``: a worker's lines are answered here, where everything is imported already."""

    processes: "list[WorkerHere]" = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    """What came in, in this order."""
    sessions: list[dict[str, Any]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def start(self, argv: list[str], **pipes: object) -> "WorkerHere":
        self.processes.append(WorkerHere(self))
        return self.processes[-1]


class Answers:
    """What a worker has written and nobody has read yet."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque()

    def write(self, line: str) -> None:
        self.lines.append(line)

    def flush(self) -> None:
        pass

    def __iter__(self) -> Iterator[str]:
        while self.lines:
            yield self.lines.popleft()


class WorkerHere:
    """One of them, and its own standard input."""

    def __init__(self, workers: Workers) -> None:
        self.workers, self.stdin, self.stdout = workers, self, Answers()
        self.session: Session | None = None

    def write(self, line: str) -> None:
        message = json.loads(line)
        with self.workers.lock:  # PyTorch's settings belong to the whole process
            self.workers.tasks.append(message["task"])
            if "session" in message:
                self.workers.sessions.append(message["session"])
                self.session = Session.from_entries(message.pop("session"), LineReporter(self.stdout))
            do_tasks([json.dumps(message)], self.stdout, self.session)

    def flush(self) -> None:
        pass

    def poll(self) -> None:
        """It runs."""

    def terminate(self) -> None:
        pass

    kill = terminate

    def wait(self, timeout: float | None = None) -> int:
        return 0

    def __enter__(self) -> "WorkerHere":
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    """Has the workers of ``--jobs`` do their tasks in this process."""
    workers = Workers()
    monkeypatch.setattr(task_process, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": workers.start}))
    return workers
