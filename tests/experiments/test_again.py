"""A run again: recomputed, only planned, or trained further than before."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import main
from pruning import strategies

LEVEL = ("lottery", "--dataset=digits", "--model=mnist_lenet_4", "--training_steps=2ep", "--threads=1", "--k=1")
TRAIN = ("train", *LEVEL[1:-1])
STEPS = 23  # of an epoch


@pytest.fixture
def do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Does a command line of which nothing must fail; what it prints."""

    def do(*argv: str, code: int = 0) -> Any:
        capsys.readouterr()
        assert main([*argv, f"--root={tmp_path / 'runs'}"]) == code
        return capsys.readouterr()

    return do


def files(root: Path) -> dict[str, tuple[int, bytes]]:
    """Time and bytes of every file; none if the directory is not there."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


def weights(directory: Path) -> dict[str, bytes]:
    return {name: content for name, (_, content) in files(directory).items() if name.endswith(".safetensors")}


# --recompute ---------------------------------------------------------------------------------------------------------


def test_recompute_puts_the_run_aside_and_comes_to_the_same_bits(
    do: Callable[..., Any], root: Path, steps_taken: list[int]
) -> None:
    [run], [trunk] = root.glob("lottery_*/replicate_1"), root.glob("train_*/replicate_1")
    before, trunks_files = files(run), files(trunk)
    printed = do(*LEVEL, "--recompute")
    aside = run.with_name("replicate_1.aside_1")
    assert f"{run} is put aside: it is now {aside}" in printed.err
    assert {name: held for name, held in files(aside).items() if name in before} == before
    assert steps_taken == [*range(STEPS, 2 * STEPS)]  # the level; the trunk can be used
    assert files(trunk) == trunks_files
    level = {name for name in weights(run) if name.startswith("level_1/")}
    assert level
    assert {name: weights(run)[name] for name in level} == {name: weights(aside)[name] for name in level}
    do(*LEVEL, "--recompute")
    assert run.with_name("replicate_1.aside_2").is_dir()


def test_recompute_of_a_branch_leaves_its_level(
    do: Callable[..., Any], root: Path, steps_taken: list[int]
) -> None:
    [branch] = root.glob("lottery_*/replicate_1/level_1/shuffle_*")
    before = weights(branch)
    do("lottery_branch", "shuffle", *LEVEL[1:], "--recompute")
    assert branch.with_name(f"{branch.name}.aside_1").is_dir()
    assert weights(branch) == before
    assert len(steps_taken) == STEPS


def test_a_dry_run_puts_nothing_aside(do: Callable[..., Any], tmp_path: Path) -> None:
    do(*TRAIN, "--to=0")
    before = sorted(tmp_path.rglob("*"))
    assert "would be put aside" in do(*TRAIN, "--to=0", "--recompute", "--dry_run").err
    assert sorted(tmp_path.rglob("*")) == before


def test_recompute_of_what_is_not_there_is_a_first_run(do: Callable[..., Any], tmp_path: Path) -> None:
    assert "aside" not in do(*TRAIN, "--to=0", "--recompute").err
    assert len(list(tmp_path.glob("runs/train_*/*"))) == 1


STRATEGY = """
from dataclasses import dataclass
from pruning import strategies
from pruning.methods.magnitude import Magnitude

VERSION = {}

@strategies.register("edited")
@dataclass(frozen=True, kw_only=True)
class Edited(Magnitude):
    "Magnitude under another name."
"""


@pytest.fixture
def edit(tmp_path: Path) -> Iterator[Callable[[int], str]]:
    """``edit(2)`` writes the second version of a plug-in; the flag that loads it."""
    registered = contextlib.ExitStack()

    def edit(version: int) -> str:
        sys.modules.pop("adsynflow_plugin_edited", None)
        registered.close()
        registered.enter_context(strategies.temporarily())
        (tmp_path / "edited.py").write_text(STRATEGY.format(version))
        return f"--plugin={tmp_path / 'edited.py'}"

    with registered:
        yield edit
    sys.modules.pop("adsynflow_plugin_edited", None)


def test_the_result_of_an_edited_plugin_is_not_passed_off_as_the_new_ones(
    do: Callable[..., Any], edit: Callable[[int], str], root: Path
) -> None:
    argv = (*LEVEL, "--pruning_strategy=edited")
    do(*argv, edit(1))
    before = files(root)
    refused = do(*argv, edit(2), code=2)
    assert "was computed with another version of the plug-in" in refused.err
    assert "--recompute puts that directory aside" in refused.err
    assert (refused.out, files(root)) == ("", before)
    assert "is put aside" in do(*argv, edit(2), "--recompute").err
    assert do(*argv, edit(2)).err.count("Nothing was trained") == 1


# --dry_run -----------------------------------------------------------------------------------------------------------


def table(out: str) -> list[list[str]]:
    """The cells of the lines between headers and sentences, split where two spaces are."""
    lines = [line for line in out.splitlines()[1:-1] if not line.startswith(("of all", "task ", "Time", "--", "Disk"))]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_dry_run_prints_the_plan_and_writes_nothing(
    do: Callable[..., Any], tmp_path: Path, steps_taken: list[int]
) -> None:
    printed = do(*LEVEL, "--levels=0-1", "--pruning_strategy=adsynflow,random", "--dry_run")
    shared, header, *_ = printed.out.splitlines()
    assert shared == "of all: replicate 1"
    assert [cell.strip() for cell in header.split("  ") if cell] == ["task", "shared by", "steps", "time"]
    rows = table(printed.out)
    assert [row[1:] for row in rows if row[0].startswith("trunk ")] == [
        ["2", str(STEPS)], ["2", str(STEPS)],  # shared; the second half goes on from the first
    ]  # fmt: skip
    assert ["random, k=1ep, level 1", str(STEPS)] in rows
    assert ["random, k=1ep, mask of level 1"] in rows
    assert "--estimate times ten steps." in printed.out
    assert printed.out.splitlines()[-1] == f"0 done, 10 to do, {4 * STEPS} optimizer steps left"
    assert not (tmp_path / "runs").exists()
    assert steps_taken == []


def test_dry_run_of_what_is_done_in_part(do: Callable[..., Any], root: Path) -> None:
    before = files(root)
    printed = do(*LEVEL, "--pruning_strategy=adsynflow,random", "--dry_run")
    rows = table(printed.out)
    assert ["adsynflow, k=1ep, level 1", "done"] in rows
    assert printed.out.splitlines()[-1] == f"2 done, 2 to do, {STEPS} optimizer steps left"
    assert files(root) == before


@pytest.mark.parametrize("branch", [(), ("lottery_branch", "shuffle")])
def test_dry_run_of_what_is_all_done(branch: tuple[str, ...], do: Callable[..., Any], root: Path) -> None:
    argv = (*branch, *LEVEL[1:]) if branch else LEVEL
    done = 2 if branch else 1  # a branch stands beside its level
    assert do(*argv, "--dry_run").out.splitlines()[-1] == f"{done} done, 0 to do, 0 optimizer steps left"


def test_dry_run_refuses_what_a_run_refuses(do: Callable[..., Any]) -> None:
    assert do(*LEVEL[:-1], "--k=999it", "--dry_run", code=2).err.startswith("--k=999it: beyond --training_steps=2ep")


# train --to ----------------------------------------------------------------------------------------------------------


def test_a_trunk_is_trained_to_a_step_and_later_from_there(
    do: Callable[..., Any], finished_root: Path, tmp_path: Path, steps_taken: list[int]
) -> None:
    printed = do(*TRAIN, "--to=1")
    assert steps_taken == [*range(STEPS)]
    [run] = tmp_path.glob("runs/train_*/replicate_1")
    assert not (run / "done.json").exists()
    assert str(run) in printed.out  # the last epoch's accuracy
    assert "Done before" in do(*TRAIN, "--to=1").err
    assert len(steps_taken) == STEPS
    do(*TRAIN)
    assert steps_taken == [*range(2 * STEPS)]
    [theirs] = finished_root.glob("train_*/replicate_1")
    assert weights(run) == weights(theirs)


def test_a_step_that_is_behind_is_done_already(do: Callable[..., Any], root: Path, steps_taken: list[int]) -> None:
    assert "Done before" in do(*TRAIN, "--to=1").err
    assert "Done before" in do(*TRAIN, "--to=2").err
    assert steps_taken == []


@pytest.mark.parametrize("to", ["3", "2ep1it", "47it"])
def test_a_step_past_the_end_is_refused(to: str, do: Callable[..., Any], tmp_path: Path) -> None:
    assert "beyond --training_steps=2ep" in do(*TRAIN, f"--to={to}", code=2).err
    assert not (tmp_path / "runs").exists()
