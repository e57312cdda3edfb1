"""A training whose loss is no longer finite is given up, unless that is allowed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.runs.stored import runs
from foundations.store import Store
from tests.reliability.conftest import TINY, computed

Command = Callable[..., Any]
WILD = "--lr=1e30"


def one(root: Path, pattern: str) -> Path:
    (path,) = root.glob(pattern)
    return path


def test_it_ends_with_step_learning_rate_and_last_good_checkpoint(command: Command, tmp_path: Path) -> None:
    argv = ("train", *TINY, f"--root={tmp_path}")
    outcome = command(*argv, WILD, "--lr_schedule=step", "--milestone_steps=1ep", "--warmup_steps=0ep")
    here = one(tmp_path, "train_*/replicate_1")
    assert outcome.code == 1
    assert f"{here} has diverged: at 1ep its loss is not finite (learning rate 1e+30; last good checkpoint: 0ep)" in (
        outcome.err
    )
    assert "--allow_divergence" in outcome.err
    assert "Traceback" not in outcome.err
    assert "resumes" not in outcome.err
    assert "once more" not in outcome.err
    assert outcome.out.splitlines()[1].split()[2:4] == ["1ep", "(diverged)"]
    assert not Store(here).done
    [run] = runs(tmp_path)
    assert run.state == "diverged at 1ep"


def test_the_last_good_checkpoint_stays(command: Command, tmp_path: Path) -> None:
    """Its momentum is made infinite after two epochs."""
    argv = ("train", *TINY, "--lr=0.1", f"--root={tmp_path / 'good'}")
    assert command(*argv, "--to=2").code == 0
    here = one(tmp_path / "good", "train_*/replicate_1")
    state = Store(here).read_state("checkpoint.safetensors")
    state["optimizer"]["state"][0]["momentum_buffer"].fill_(float("inf"))
    Store(here).write_state("checkpoint.safetensors", state)
    for path in here.glob("*_2ep0it.*"):
        path.unlink()
    before = (here / "checkpoint.safetensors").read_bytes()
    outcome = command(*argv)
    assert outcome.code == 1
    assert "at 3ep its loss is not finite (learning rate 0.1; last good checkpoint: 2ep)" in outcome.err
    assert (here / "checkpoint.safetensors").read_bytes() == before
    assert [json.loads(line).get("diverged") for line in (here / "metrics.jsonl").read_text().splitlines()] == [
        None, None, None, True,
    ]  # fmt: skip
    assert not (here / "model_3ep0it.safetensors").exists()


def test_it_is_found_at_a_saved_step_in_mid_epoch(command: Command, tmp_path: Path) -> None:
    outcome = command("lottery", *TINY, WILD, "--pruning_strategy=synflow", "--k=4it", f"--root={tmp_path}")
    assert outcome.code == 1
    assert "at 4it its loss is not finite" in outcome.err
    assert "skipped, since it depends on that" in outcome.err
    assert not list(tmp_path.rglob("model_0ep4it*"))
    assert not list(tmp_path.rglob("mask.safetensors"))


def test_where_it_is_allowed_all_is_as_if_nobody_looked(command: Command, tmp_path: Path) -> None:
    argv = ("train", *TINY, WILD, f"--root={tmp_path / 'runs'}")
    assert command(*argv).code == 1
    outcome = command(*argv, "--allow_divergence")
    assert outcome.code == 0
    assert "1ep: the loss is no longer finite; try a smaller --lr" in outcome.err
    assert command("train", *TINY, WILD, "--allow_divergence", f"--root={tmp_path / 'other'}").code == 0
    assert computed(tmp_path / "runs") == computed(tmp_path / "other")
    [run] = runs(tmp_path / "runs")
    assert run.state == "done"
    assert "diverged" not in one(tmp_path, "runs/train_*/replicate_1/metrics.jsonl").read_text()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_child_that_has_diverged_is_named(jobs: int, command: Command, tmp_path: Path) -> None:
    argv = (
        "stability",
        *TINY,
        "--pruning_strategy=none",
        "--k=1",
        "--alphas=2",
        "--report=false",
        f"--root={tmp_path}",
    )
    assert command(*argv, "--child=1").code == 0
    assert command("train", *TINY, f"--root={tmp_path}").code == 0
    poison(tmp_path)
    outcome = command(*argv, f"--jobs={jobs}")
    assert outcome.code == 1
    child = one(tmp_path, "stability_*/replicate_1/k_*/child_2")
    assert f"{child} has diverged: at 2ep its loss is not finite" in outcome.err
    assert "skipped, since it depends on that: none, k=1ep, replicate 1, comparison" in outcome.err
    assert not (child.parent / "child_2" / "done.json").exists()
    allowed = command(*argv, f"--jobs={jobs}", "--allow_divergence")
    assert allowed.code == 0
    assert f"{child} has diverged: not all of its weights are finite" in allowed.err
    assert "unstable" in allowed.out


def poison(root: Path) -> None:
    """The second child goes on from a momentum that no weight survives."""
    child = one(root, "stability_*/replicate_1/k_*/child_1")
    state = Store(child).read_state("checkpoint.safetensors")
    first = Store(one(root, "train_*/replicate_1")).read_state("optimizer_1ep0it.safetensors")
    weights = Store(one(root, "train_*/replicate_1")).read_tensors("model_1ep0it.safetensors")
    for entry in first["optimizer"]["state"].values():
        entry["momentum_buffer"].fill_(float("inf"))
    rows = Store(child).read_rows("metrics.jsonl")[:1]
    other = Store(child.with_name("child_2"))
    other.write_rows("metrics.jsonl", rows)
    metrics = state["metrics"].splitlines()[0] + "\n"
    other.write_state("checkpoint.safetensors", {**first, "model": weights, "metrics": metrics})
