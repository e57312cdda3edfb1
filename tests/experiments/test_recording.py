"""What a task leaves beside its results, however it ends."""

import itertools
import json
import re
from pathlib import Path

import pytest

from experiments.run.in_process import recorded
from experiments.runs.status import read_status
from foundations.reporting import Reporter, Several
from foundations.store import Store
from tests.experiments.conftest import TINY


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "level_1")


def log(store: Store) -> list[str]:
    """Its lines without their times."""
    lines = (store / "log.txt").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    return [line[20:] for line in lines]


def test_what_is_said_meanwhile_is_in_the_log(store: Store) -> None:
    reporters = Several(Reporter())
    reporters.say("before")
    with recorded("level 1", store, reporters) as record:
        status = read_status(store)
        reporters.say("an epoch")
        reporters.warn("a layer\nis empty")
        record.ended(None)
    reporters.say("after")
    assert status is not None
    assert (status.state, status.task, status.ended) == ("running", "level 1", "")
    assert log(store)[1:] == ["an epoch", "a layer", "is empty", "level 1: done"]
    ended = read_status(store)
    assert ended is not None
    assert (ended.state, bool(ended.ended), ended.since) == ("done", True, status.since)


def test_what_all_attempts_have_cost_adds_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attempts of 5 and 5 seconds on the clock, of which 2 and 2 are the processor's."""
    clock, processor = itertools.count(0, 5), itertools.count(0, 2)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    for reason in ("No space left on device", None):
        with recorded("level 1", store, Several(), lambda: next(processor)) as record:
            record.ended(reason)
    status = read_status(store)
    assert status is not None
    assert (status.attempts, status.seconds, status.processor_seconds) == (2, 10.0, 4.0)
    assert status.peak_memory > 10


def test_a_failure_says_why(store: Store) -> None:
    with recorded("level 1", store, Several()) as record:
        record.ended("No space left on device")
    status = read_status(store)
    assert status is not None
    assert (status.state, status.reason) == ("failed", "No space left on device")
    assert log(store)[-1] == "level 1: failed, No space left on device"


def test_an_interruption_is_one(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), recorded("level 1", store, Several()):
        raise KeyboardInterrupt
    status = read_status(store)
    assert status is not None
    assert status.state == "interrupted"


def test_a_disk_that_takes_no_status_is_left_to_the_task(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write_json", full)
    monkeypatch.setattr(Store, "append_line", full)
    with recorded("level 1", store, Several()) as record:
        record.ended(None)


def test_every_training_of_a_run_has_its_log_and_status(root: Path) -> None:
    trained = [path.parent for path in root.rglob("metrics.jsonl")]
    assert len(trained) == 5  # trunk, level, branch, two children of one analysis
    for folder in trained:
        assert json.loads((folder / "status.json").read_text())["state"] == "done"
        assert f"{folder.relative_to(root)}: 2ep of 2ep, test accuracy" in (folder / "log.txt").read_text()
    assert TINY["training_steps"] == "2ep"
