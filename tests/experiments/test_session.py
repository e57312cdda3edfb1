"""What a session shares, sets, records, and how its experiments fail."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from experiments.run.engines import Failed
from experiments.session import Session
from foundations.errors import UsageError
from foundations.reporting import Reporter
from tests.experiments.conftest import TINY


class Impatient(Reporter):
    """Takes waiting for a defect."""

    def say(self, text: str) -> None:
        assert "Waiting" not in text, text


def test_what_cannot_be_done_is_raised_at_the_end_of_what_can(root: Path) -> None:
    """One weight of 296 leaves a layer empty; half of them do not."""
    grid = Session(root, threads=1, reporter=Reporter()).lottery(
        **TINY, k=1, pruning_strategy="random", density=[0.003, 0.5]
    )
    with pytest.raises(Failed, match="random, k=1ep, replicate 1, level 1: level_1: random leaves no path") as raised:
        grid.run()
    [failure] = raised.value.failures
    assert failure.refused
    assert [one.done for one in grid] == [False, True]
    [row] = grid.rows()
    assert row["density"] == pytest.approx(0.5, abs=0.01)


def test_what_is_bound_to_fail_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    grid = Session(tmp_path / "runs", reporter=Reporter()).lottery(**TINY, k=["0ep", "999it"])
    with pytest.raises(UsageError, match="--k=999it: beyond --training_steps=2ep"):
        grid.run()
    assert not (tmp_path / "runs").exists()


def test_a_step_that_is_saved_is_read_while_another_process_trains_the_trunk_on(root: Path) -> None:
    [trunk] = root.glob("train_*/replicate_1")
    with FileLock(trunk / ".lock"):
        grid = Session(root, threads=1, reporter=Impatient()).lottery(**TINY, k=1, pruning_strategy="random").run()
    assert grid.done


def test_pytorch_s_settings_are_those_of_the_session_only_while_it_computes(root: Path) -> None:
    before, seen = torch.get_num_threads(), []

    class Looks(Reporter):
        def say(self, text: str) -> None:
            if "Pruning with" in text:
                filled = torch.utils.deterministic.fill_uninitialized_memory
                seen.append((torch.are_deterministic_algorithms_enabled(), filled))

    session = Session(root, threads=before + 1, deterministic=True, reporter=Looks())
    session.lottery(**TINY, k=1, pruning_strategy="random").run()
    assert seen == [(True, False)]
    assert torch.get_num_threads() == before
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


@pytest.mark.parametrize(("given", "captures"), [("auto", True), ("off", False)])
def test_whether_steps_are_captured_is_handed_to_whatever_trains(tmp_path: Path, given: str, captures: bool) -> None:
    session = Session(tmp_path, cuda_graphs=given, reporter=Reporter())
    assert session.context.cuda_graphs is captures
    assert Session.from_entries(session.entries(), Reporter()).context.cuda_graphs is captures


def test_what_was_called_is_recorded(tmp_path: Path) -> None:
    session = Session(tmp_path, threads=1, reporter=Reporter())
    session.train(**TINY, to=0).run()
    Session(tmp_path, threads=1, reporter=Reporter(), command=["train", "--replicate=2"]).train(
        **TINY, to=0, replicate=2
    ).run()
    commands: list[Any] = [
        json.loads(path.read_text())["command"] for path in sorted(tmp_path.rglob("environment.json"))
    ]
    assert commands == [
        ["session.train(dataset='digits', model='mnist_lenet_4', training_steps='2ep', to=0)"],
        ["train", "--replicate=2"],
    ]


def test_data_are_read_once(tmp_path: Path) -> None:
    session = Session(tmp_path, reporter=Reporter())
    one, other = session.train(**TINY)[0], session.lottery(**TINY, k=1)[0]
    assert session.data(one.desc.data) is session.data(other.desc.train.data)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thread": 1}, r"Session: unknown option 'thread' \(did you mean 'threads'\?\); valid: root, "),
        ({"jobs": 0}, r"--jobs=0: expected a number in \[1, 1024\]"),
        ({"device": "gpu"}, "--device=gpu: not available here; valid: auto, cpu, "),
        ({"engine": "lokal"}, r"--engine=lokal: unknown engine \(did you mean 'local'\?\)"),
        ({"plugin": "nowhere.py"}, "--plugin=nowhere.py: no such file"),
    ],
)
def test_an_unsuitable_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Session(reporter=Reporter(), **options)
