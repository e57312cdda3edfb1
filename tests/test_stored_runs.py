"""Run directories of older versions of this program, which every later one reads and goes on with."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli import main
from foundations.store import Store

FORMAT_2 = Path(__file__).parent / "stored_runs" / "format_2"
COMPUTED = ("*.safetensors", "*.jsonl", "done.json", "instability.json", "interpolation.csv", "desc.json")
STABILITY = "stability_9186417ce142/replicate_1"
LOTTERY = "lottery_b5c2446f2113/replicate_1"
INTERRUPTED = "lottery_2966a787fcf8/replicate_1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of runs of format 2, the oldest that is read."""
    shutil.copytree(FORMAT_2, tmp_path / "runs")
    return tmp_path / "runs"


def command_of(run: Path, root: Path) -> list[str]:
    """The command line that computed a run, for another root."""
    command = json.loads((run / "environment.json").read_text())["command"]
    return [*(token for token in command if not token.startswith("--root=")), f"--root={root}"]


def computed(root: Path) -> dict[str, tuple[int, bytes]]:
    """Time and bytes of all that training and comparing leave below ``root``."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for pattern in COMPUTED
        for path in root.rglob(pattern)
    }


def percent(run: Path) -> str:
    """A run's accuracy as the tables print it."""
    return f"{json.loads((run / 'done.json').read_text())['test_accuracy']:.2%}"


def test_nothing_is_wrong_with_the_files(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", f"--root={root}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("5 runs, ")


def test_a_trunk_is_done(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, before = root / "train_a7b76040da42" / "replicate_1", computed(root)
    no_flags_of_train = ("--k=", "--density=", "--levels=")
    flags = [token for token in command_of(run, root)[1:] if not token.startswith(no_flags_of_train)]
    assert main(["train", *flags]) == 0
    printed = capsys.readouterr()
    assert "Done before" in printed.err
    assert percent(run) in printed.out
    assert computed(root) == before


def test_levels_are_done(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = computed(root)
    assert main(command_of(root / LOTTERY, root)) == 0
    printed = capsys.readouterr()
    assert "All done before" in printed.err
    assert percent(root / LOTTERY / "level_0") in printed.out
    assert percent(root / LOTTERY / "level_1") in printed.out
    assert computed(root) == before


@pytest.mark.parametrize("branch", [["shuffle"], ["stability", "--alphas=3"]])
def test_branches_are_done(branch: list[str], root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = computed(root)
    flags = [token for token in command_of(root / LOTTERY, root)[1:] if not token.startswith("--levels=")]
    assert main(["lottery_branch", *branch, *flags, "--levels=1"]) == 0
    printed = capsys.readouterr()
    assert "All done before" in printed.err
    assert percent(root / LOTTERY / "level_1") in printed.out
    assert computed(root) == before


def test_an_instability_analysis_is_done(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = computed(root)
    assert main(command_of(root / STABILITY, root)) == 0
    assert capsys.readouterr().err.count("Done before") == 2  # the full network and the pruned one
    assert computed(root) == before


def test_finer_lines_keep_the_points_of_an_older_table(root: Path) -> None:
    here = Store(root / STABILITY / "k_1ep0it")
    old = here.read_table("interpolation.csv")
    flags = [token for token in command_of(root / STABILITY, root) if not token.startswith(("--alphas", "--pruning"))]
    assert main([*flags, "--pruning_strategy=adsynflow", "--alphas=5", "--report=false"]) == 0
    new = here.read_table("interpolation.csv")
    assert len(new) > len(old)
    assert [row for row in new if row in old] == old
    assert "format" in (here / "interpolation.csv").read_text().splitlines()[0]


def test_an_interrupted_training_goes_on_from_its_checkpoint(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    level, before = Store(root / INTERRUPTED / "level_1"), computed(root)
    rows = level.read_rows("metrics.jsonl")
    assert not level.done
    assert main(command_of(root / INTERRUPTED, root)) == 0
    assert "level_1: going on from 1ep" in capsys.readouterr().err
    assert level.done
    now: list[dict[str, Any]] = level.read_rows("metrics.jsonl")
    assert now[: len(rows)] == rows
    assert now[-1]["step"] == level.result()["step"] == "2ep0it"
    others = {name: file for name, file in computed(root).items() if not name.startswith(INTERRUPTED)}
    assert others.items() <= before.items()
