"""A queue that does jobs as Slurm would, in this process: each once those that it waits for have ended."""

import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from experiments.options import SessionOptions
from experiments.run import slurm as engine
from experiments.run.slurm_jobs import SlurmJob


@dataclass
class Slurm:
    """The cluster."""

    states: dict[str, str] = field(default_factory=dict)
    arrays: list[tuple[list[str], list[str]]] = field(default_factory=list)
    """The numbers of each, and of the jobs that it waits for."""
    holds: Callable[[SlurmJob], bool] = lambda job: False
    """Whether a job stays in the queue for now."""
    before: Callable[[SlurmJob], None] = lambda job: None
    """Called when a job begins."""
    ended: threading.Condition = field(default_factory=threading.Condition)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(20))

    def submit(self, jobs: Sequence[SlurmJob], after: Sequence[str]) -> list[str]:
        """As ``SlurmQueue.submit``."""
        numbers = [f"{len(self.arrays) + 1}_{place}" for place in range(len(jobs))]
        self.arrays.append((numbers, list(after)))
        self.states.update(dict.fromkeys(numbers, "PENDING"))
        for number, job in zip(numbers, jobs, strict=True):
            if not self.holds(job):
                self.threads.submit(self.do, number, pickle.loads(pickle.dumps(job)), list(after))
        return numbers

    def do(self, number: str, job: SlurmJob, after: Sequence[str]) -> None:
        """Does a job when its time has come."""
        with self.ended:
            self.ended.wait_for(lambda: all(self.states[other] not in ("PENDING", "RUNNING") for other in after))
            if self.states[number] != "PENDING":
                return
            self.states[number] = "RUNNING"
        state = "FAILED"
        try:
            self.before(job)
            job()
            state = "COMPLETED"
        finally:
            with self.ended:
                self.states[number] = state
                self.ended.notify_all()

    def cancel(self, numbers: Sequence[str]) -> None:
        """As ``scancel``, of jobs that wait."""
        with self.ended:
            self.states.update(dict.fromkeys(numbers, "CANCELLED"))
            self.ended.notify_all()


class Queue:
    """Stands in for ``SlurmQueue``."""

    def __init__(self, cluster: Slurm, folder: Path, options: SessionOptions) -> None:
        self.cluster = cluster
        self.submit = cluster.submit

    def state(self, number: str) -> str:
        return self.cluster.states.get(number, "")


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """The cluster that the engine submits to."""
    cluster = Slurm()
    monkeypatch.setattr(engine, "SlurmQueue", lambda folder, options: Queue(cluster, folder, options))
    monkeypatch.setattr(engine, "PAUSE", 0.02)
    monkeypatch.setattr(engine, "LATE", 0.02)
    yield cluster
    cluster.threads.shutdown(wait=True)
