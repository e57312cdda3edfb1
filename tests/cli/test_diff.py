"""Two runs side by side."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.runs.diff import Overlap, apart, same
from foundations.store import Store

Command = Callable[..., Any]
RUN = "lottery_*/replicate_1"


@pytest.fixture
def pair(finished_root: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run and its copy elsewhere."""
    roots = [shutil.copytree(finished_root, tmp_path / name) for name in ("original", "copy")]
    return next(roots[0].glob(RUN)), next(roots[1].glob(RUN))


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    entries = Store(path.parent).read_json(path.name)
    change(entries)
    Store(path.parent).write_json(path.name, entries)


def test_a_copy_is_equal(pair: tuple[Path, Path], command: Command) -> None:
    outcome = command("diff", *map(str, pair))
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1] == "The runs are equal."
    assert command("diff", str(pair[0].parent), str(pair[1])).code == 0  # the only replicate
    for flag in (["--json"], ["--json", "true"], ["--json=true"]):  # a run behind a switch is not its value
        assert json.loads(command("diff", *flag, *map(str, pair)).out)["equal"] is True


def test_another_machine_is_shown_and_makes_no_difference(pair: tuple[Path, Path], command: Command) -> None:
    edit(pair[1] / "environment.json", lambda entries: entries.update(cpu="Another", later=[{"python": "3.99"}]))
    outcome = command("diff", *map(str, pair))
    assert outcome.code == 0
    assert "machine (runs may be equal all the same" in outcome.out
    assert "Another" in outcome.out
    assert "python (later, 1)" in outcome.out


@pytest.mark.parametrize(
    ("file", "change", "shown"),
    [
        ("desc.json", lambda entries: entries["train"]["training"].update(lr=9.0), "train.training.lr"),
        ("environment.json", lambda entries: entries.update(data_fingerprint="0"), "data_fingerprint"),
        ("environment.json", lambda entries: entries["plugins"].update(mine={"sha256": "1"}), "plugins.mine.sha256"),
        ("level_1/done.json", lambda entries: entries.update(test_accuracy=0.5), "level_1.test_accuracy"),
    ],
)
def test_what_was_asked_for_and_came_of_it_makes_a_difference(
    file: str, change: Callable[[dict[str, Any]], None], shown: str, pair: tuple[Path, Path], command: Command
) -> None:
    edit(pair[1] / file, change)
    outcome = command("diff", *map(str, pair))
    assert outcome.code == 1
    assert shown in outcome.out
    assert outcome.out.splitlines()[-1] == "The runs differ."


@pytest.mark.parametrize("file", ["mask.safetensors", "first_mask.safetensors"])
def test_weights_and_masks_are_compared_tensor_by_tensor(
    file: str, pair: tuple[Path, Path], command: Command
) -> None:
    here, level = (Store(run / "level_1") for run in pair)
    here.write_tensors(file, here.read_tensors("mask.safetensors"))
    (model,) = (path.name for path in level.path.glob("model_*"))
    weights, mask = level.read_tensors(model), level.read_tensors("mask.safetensors")
    weights["fc.bias"] = weights["fc.bias"] + 0.25
    kept = int(sum(keep.sum() for keep in mask.values()))
    first = mask["fc.weight"].nonzero()[0]
    mask["fc.weight"][tuple(first)] = False
    level.write_tensors(model, weights)
    level.write_tensors(file, mask)
    outcome = command("diff", *map(str, pair), "--json")
    assert outcome.code == 1
    found = json.loads(outcome.out)
    assert not found["equal"]
    assert [(one["tensor"], round(one["max_abs"], 6)) for one in found["distances"]] == [("fc.bias", 0.25)]
    (overlap,) = found["overlaps"]
    assert (overlap["left"], overlap["right"], overlap["both"]) == (kept, kept - 1, kept - 1)
    assert "fc.bias" in command("diff", *map(str, pair)).out


def test_a_shorter_history_and_a_missing_file_are_named(pair: tuple[Path, Path], command: Command) -> None:
    metrics = pair[1] / "level_1" / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:-1]))
    (pair[1] / "level_1" / "mask.safetensors").unlink()
    out = command("diff", *map(str, pair)).out
    assert "level_1/metrics.jsonl, rows" in out
    assert "level_1/mask.safetensors" in out


def test_what_cannot_be_compared_is_refused(pair: tuple[Path, Path], command: Command, tmp_path: Path) -> None:
    trunk = next(pair[0].parents[1].glob("train_*/replicate_1"))
    for argv in ([], [str(pair[0])], [str(pair[0]), str(trunk)], [str(pair[0]), str(tmp_path / "gone")]):
        outcome = command("diff", *argv)
        assert outcome.code == 2
        assert len(outcome.err.strip().splitlines()) == 1
    assert "a lottery run" in command("diff", str(pair[0]), str(trunk)).err


def test_how_far_apart_two_tensors_are() -> None:
    assert apart(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 3.0])) == (1.0, 0.2)
    assert apart(torch.zeros(2), torch.ones(2))[1] == float("inf")
    assert same(torch.tensor([float("nan"), 1.0]), torch.tensor([float("nan"), 1.0]))
    assert not same(torch.tensor([1.0]), torch.tensor([1.0 + 1e-7]))
    assert not same(torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64))
    assert Overlap("mask", 3, 3, 2).jaccard == 0.5
    assert Overlap("mask", 0, 0, 0).jaccard == 1.0
