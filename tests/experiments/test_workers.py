"""Worker processes: how many are started, how they end, and what becomes of a task whose process dies."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from experiments.run import engine as schedule
from experiments.run.engines import Failure, run_plan
from experiments.run.plan import make_plan
from experiments.run.tasks import Task
from experiments.session import Session
from tests.conftest import Listener
from tests.experiments.stub_work import attempts
from tests.experiments.test_engines import done, fast_workers, run_and_release  # noqa: F401  a fixture among them

HERE = Path(__file__).parent
HOME = HERE.parents[1]
Stubs = Callable[..., list[Task]]
Run = Callable[[Sequence[Task]], list[Failure]]


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """The workers that are started."""
    started: list[subprocess.Popen[str]] = []
    real = subprocess.Popen

    def recorded(*arguments: Any, **options: Any) -> Any:
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", recorded)
    return started


@pytest.fixture
def pool(make_session: Callable[..., Session]) -> Run:
    """Runs tasks by two workers."""

    def pool(tasks: Sequence[Task]) -> list[Failure]:
        return run_and_release(tasks, make_session(jobs=2))

    return pool


def test_a_chain_needs_one_process_and_none_is_left(
    pool: Run, stubs: Stubs, processes: list[subprocess.Popen[str]]
) -> None:
    assert pool(stubs(a="", b="a", c="b")) == []
    assert len(processes) == 1
    assert processes[0].poll() is not None


def test_workers_live_on_from_plan_to_plan_until_they_are_released(
    make_session: Callable[..., Session], stubs: Stubs, processes: list[subprocess.Popen[str]]
) -> None:
    session, tasks = make_session(jobs=2), stubs(a="", b="a", c="", d="c")
    run_plan(make_plan(tasks[:2], session), session)
    run_plan(make_plan(tasks[2:], session), session)
    assert [process.poll() for process in processes] == [None]
    session.release()
    assert [process.poll() for process in processes] == [-signal.SIGKILL]  # idle, it has nothing to write


def test_it_says_how_far_it_has_come(pool: Run, stubs: Stubs, listener: Listener) -> None:
    pool(stubs(a="", bad="a: refuse", top="bad"))
    assert listener.said == ["3 tasks in 2 processes at once", "1 of 3, stubs, a: done", "3 of 3, stubs, bad: failed"]


def test_a_worker_that_is_killed_is_replaced_and_its_task_tried_again(
    pool: Run, stubs: Stubs, tmp_path: Path, listener: Listener, processes: list[subprocess.Popen[str]]
) -> None:
    assert pool(stubs(a=": be killed once", b="a")) == []
    assert attempts(tmp_path) == ["a", "a", "b"]
    assert listener.warned == ["stubs, a: its process ended with exit code -9; trying once more"]
    assert len(processes) == 2


def test_a_process_that_ends_leaves_its_last_words(pool: Run, stubs: Stubs, tmp_path: Path) -> None:
    [failure] = pool(stubs(a=": exit", b=""))
    assert failure.reason == "its process ended with exit code 3: last words and why"
    assert failure.details.splitlines() == ["last words", "and why"]
    assert not failure.refused
    assert attempts(tmp_path).count("a") == 2
    assert done(tmp_path) == {"b"}


def test_ctrl_c_ends_the_workers(
    pool: Run, stubs: Stubs, tmp_path: Path, processes: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        wait_for(tmp_path / "a.waits", tmp_path / "b.waits")
        raise KeyboardInterrupt

    monkeypatch.setattr(schedule, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool(stubs(a=": wait", b=": wait"))
    assert [process.poll() for process in processes] == [-signal.SIGTERM] * 2


def wait_for(*files: Path) -> None:
    """Until processes have written them."""
    end = time.monotonic() + 60
    while not all(file.exists() for file in files):
        assert time.monotonic() < end
        time.sleep(0.005)


LAUNCHER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # the shell of a job in the background has it ignored
from pathlib import Path
from experiments.run import task_process
from experiments.run.engines import run_plan
from experiments.run.plan import make_plan
from experiments.session import Session
from experiments.run.tasks import task_kinds
here, plugin, worker = sys.argv[1:]
task_process.MAIN = Path(worker)
session = Session(here, jobs=2, plugin=(plugin,), quiet=True)
run_plan(make_plan([task_kinds.get("stub")(folder=here, node=node) for node in "ab"], session), session)
"""


def test_no_worker_outlives_the_process_that_started_it_however_that_ends(stubs: Stubs, tmp_path: Path) -> None:
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]
    stubs(a=": wait", b=": wait")
    parents = {}
    for number in numbers:
        here = tmp_path / number.name
        here.mkdir()
        (here / "graph.json").write_bytes((tmp_path / "graph.json").read_bytes())
        command = [sys.executable, "-c", LAUNCHER, str(here), str(HERE / "stub_tasks.py"), str(HERE / "fast_worker.py")]
        parents[here] = number, subprocess.Popen(command, cwd=HOME, stderr=subprocess.DEVNULL)
    try:
        wait_for(*(here / f"{node}.waits" for here in parents for node in "ab"))
    finally:
        for number, parent in parents.values():
            parent.send_signal(number)
    assert [parent.wait(10) for _, parent in parents.values()] == [-number for number in numbers]
    for here in parents:
        for node in "ab":
            FileLock(here / f"{node}.lock").acquire(timeout=10)  # it is free once the worker is gone
