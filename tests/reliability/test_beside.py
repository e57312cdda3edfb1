"""What commands that look at runs say beside one that is starting, working and ending."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import cli
from experiments.runs.clean import ended_plans, free
from experiments.runs.stored import runs
from experiments.runs.verify import check
from tests.reliability.conftest import TINY

SYNFLOW = ("--pruning_strategy=synflow", "--k=1")
COMMANDS: dict[str, Sequence[str]] = {
    "levels": ("lottery", *TINY, *SYNFLOW, "--levels=0-1", "--measure=signs"),
    "branch": ("lottery_branch", "shuffle", *TINY, *SYNFLOW),
    "stability": ("stability", *TINY, *SYNFLOW, "--alphas=2", "--plane=2", "--report=false"),
    "early_bird": ("stability", *TINY, "--pruning_strategy=synflow", "--k=early_bird", "--patience=2", "--alphas=2"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_verify_finds_nothing_wrong_at_any_moment_of_a_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after each rename, and after each flush: all that changes what lies on the disk."""
    root, found, looks = tmp_path / "runs", [], 0
    replace, fsync = os.replace, os.fsync

    def look(when: str) -> None:
        nonlocal looks
        looks += 1
        for run in runs(root):
            found.extend(f"{when}: {one.path} {one.what}" for one in check(run) if one.wrong)

    def renamed(source: Any, target: Any) -> None:
        look(f"before {target}")
        replace(source, target)
        look(f"after {target}")

    monkeypatch.setattr(os, "replace", renamed)
    monkeypatch.setattr(os, "fsync", lambda handle: look("flushed"))
    assert cli.main([*COMMANDS[name], f"--root={root}", "--quiet"]) == 0
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "fsync", fsync)
    assert not found, "\n".join(dict.fromkeys(one.replace(str(root), "") for one in found))
    assert looks > 50


def test_what_vanishes_while_it_is_looked_at_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the plan and the temporary files of a command that ends beside ``clean``."""
    plan = tmp_path / "plans" / "host_1_1"
    plan.mkdir(parents=True)
    for name in ("plan.json", ".lock"):
        (plan / name).touch()
    [found] = ended_plans(tmp_path)
    stat = Path.stat

    def gone(path: Path, **more: Any) -> os.stat_result:
        there = stat(path, **more)
        if there and path.parent == plan:
            shutil.rmtree(plan, ignore_errors=True)
        return there

    monkeypatch.setattr(Path, "stat", gone)
    assert found.size == 0
    assert free(found)


@pytest.mark.parametrize(("every", "at"), [("3it", 5), ("3it", 6), ("2ep", 6), ("2ep", 9), ("1ep", 9), ("7it", 6)])
def test_nothing_is_wrong_with_a_training_that_was_killed_between_evaluations(
    every: str, at: int, tmp_path: Path, command: Callable[..., Any], interrupt_at: Callable[..., None]
) -> None:
    """States are saved at the ends of epochs, however often there is an evaluation."""
    interrupt_at(at)
    assert command("train", *TINY, f"--evaluate_every={every}", f"--root={tmp_path}").code == 130
    [run] = runs(tmp_path)
    assert (run.path / "optimizer_1ep0it.safetensors").exists()
    assert not (run.path / "checkpoint.safetensors").exists()
    assert [finding for finding in check(run) if finding.wrong] == []
