"""``verify`` names every damage to every file of a run; what it advises, or repairs, ends with the undisturbed bits."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import main
from experiments.runs.stored import runs as stored_runs
from experiments.runs.verify import check, checked_files
from foundations import files
from foundations.reporting import Reporter
from foundations.store import Store
from tests.reliability.conftest import TINY, computed
from tests.reliability.damages import WITHIN, flip, swap, without_line

Command = Callable[..., Any]

TRAIN = ("train", *TINY)
LOTTERY = ("lottery", *TINY, "--pruning_strategy=sparse_global", "--k=1", "--levels=0-2")
STABILITY = ("stability", *TINY, "--pruning_strategy=synflow", "--k=1", "--alphas=3", "--plane=2", "--report=false")
BRANCH = ("lottery_branch", "shuffle", *TINY, "--pruning_strategy=sparse_global", "--k=1", "--levels=1")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a trunk, a lottery run with a branch, and a stability run, each of two replicates."""
    root = tmp_path_factory.mktemp("verified") / "runs"
    for argv in (LOTTERY, BRANCH, STABILITY):
        assert main([*argv, "--replicate=1,2", f"--root={root}", "--quiet"]) == 0
    return root


@pytest.fixture
def root(runs: Path, tmp_path: Path) -> Path:
    """A copy of it that may be damaged."""
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs"


def named(root: Path, wrong_only: bool = True) -> set[str]:
    """The files below a root that are found."""
    findings = [finding for run in stored_runs(root) for finding in check(run)]
    return {str(finding.path.relative_to(root)) for finding in findings if finding.wrong or not wrong_only}


def names(root: Path) -> list[str]:
    """All files of the first replicates."""
    found = [path for run in stored_runs(root) if run.replicate == 1 for path in checked_files(run)]
    return [str(path.relative_to(root)) for path in found]


def test_nothing_is_wrong_with_what_was_written(runs: Path, command: Command) -> None:
    outcome = command("verify", f"--root={runs}")
    assert outcome.code == 0
    assert "nothing is wrong" in outcome.out
    assert len(outcome.out.splitlines()) == 1
    assert len(names(runs)) > 40


@pytest.mark.parametrize("damage", WITHIN)
def test_every_damage_to_every_file_is_named(damage: str, root: Path, runs: Path) -> None:
    missed = {}
    for name in names(runs):
        path = root / name
        WITHIN[damage](path)
        no_result = path.name == files.STATUS
        found = named(root, wrong_only=not (may_be_missing(path) or no_result))
        if name not in found and not (no_result and not path.exists()):  # that there is none is nothing
            missed[name] = found
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.copy(runs / name, path)
    assert missed == {}
    assert named(root, wrong_only=False) == set()


def may_be_missing(path: Path) -> bool:
    """Whether a file that is not there means that something is not finished, or not needed now."""
    between = path.name.endswith(("_0ep0it.safetensors", "_1ep0it.safetensors", "_2ep0it.safetensors"))
    return (between or path.name in (files.DONE, files.INSTABILITY, files.CHECKPOINT)) and not path.exists()


REPAIRED = [
    ("train_*/replicate_1/model_3ep0it.safetensors", "a bit in the data"),
    ("train_*/replicate_1/optimizer_1ep0it.safetensors", "another replicate's"),
    ("train_*/replicate_1/metrics.jsonl", "cut"),
    ("train_*/replicate_1/desc.json", "{}"),
    ("train_*/replicate_1/environment.json", "null"),
    ("train_*/replicate_1/network.json", "deleted"),
    ("train_*/replicate_1/done.json", "a directory"),
    ("lottery_*/replicate_1/network.json", "{}"),
    ("stability_*/replicate_1/network.json", "another replicate's"),
    ("lottery_*/replicate_1/level_0/metrics.jsonl", "a bit in the head"),
    ("lottery_*/replicate_1/level_1/mask.safetensors", "another replicate's"),
    ("lottery_*/replicate_1/level_1/model_3ep0it.safetensors", "deleted"),
    ("lottery_*/replicate_1/level_1/sparsity_report.json", "{}"),
    ("lottery_*/replicate_1/level_2/checkpoint.safetensors", "emptied"),
    ("lottery_*/replicate_1/level_2/done.json", "[]"),
    ("lottery_*/replicate_1/level_1/shuffle_*/desc.json", "null"),
    ("lottery_*/replicate_1/level_1/shuffle_*/mask.safetensors", "a bit in the data"),
    ("stability_*/replicate_1/k_*/instability.json", "a bit in the data"),
    ("stability_*/replicate_1/k_*/interpolation.csv", "another replicate's"),
    ("stability_*/replicate_1/k_*/child_2/model_3ep0it.safetensors", "a directory"),
    ("stability_*/replicate_1/k_*/child_1/metrics.jsonl", "deleted"),
]


@pytest.mark.parametrize(("name", "damage"), REPAIRED)
def test_a_repaired_run_is_computed_anew_with_the_same_bits(
    name: str, damage: str, root: Path, runs: Path, command: Command
) -> None:
    (path,) = root.glob(name)
    WITHIN[damage](path)
    outcome = command("verify", "--repair", f"--root={root}")
    assert outcome.code == 1
    assert str(path) in outcome.out
    assert not path.exists()
    argv = {"train": TRAIN, "lottery": LOTTERY, "stability": STABILITY}[name.partition("_")[0]]
    argv = BRANCH if "shuffle" in name else argv
    assert command(*argv, "--replicate=1", f"--root={root}", "--quiet").code == 0
    expected = computed(runs)
    if may_be_missing(path):  # it is not needed now
        expected.pop(str(path.relative_to(root)))
    assert computed(root) == expected
    assert command("verify", f"--root={root}").code == 0


@pytest.mark.parametrize("table", ["plane.csv", "plane_places.csv"])
def test_a_row_that_the_plane_has_lost_is_noticed_and_comes_back(
    table: str, root: Path, runs: Path, command: Command
) -> None:
    (path,) = root.glob(f"stability_*/replicate_1/k_*/{table}")
    without_line(-1)(path)
    assert str(path.relative_to(root)) in named(root)
    shown = command("list", f"--root={root}").out
    assert f"{table} is not the one that instability.json was written with" in shown
    assert command("verify", "--repair", f"--root={root}").code == 1
    assert command(*STABILITY, "--replicate=1", f"--root={root}", "--quiet").code == 0
    assert computed(root) == computed(runs)


@pytest.mark.parametrize("name", ["mask.safetensors", "sparsity_report.json"])
def test_a_mask_or_its_report_that_is_lost_from_a_training_is_noticed(name: str, root: Path) -> None:
    (level,) = root.glob("lottery_*/replicate_1/level_1")
    (level / "done.json").unlink()  # it was interrupted
    (level / name).unlink()
    assert named(root) == {str((level / name).relative_to(root))}


@pytest.mark.parametrize("name", ["mask", "checkpoint"])
def test_another_replicate_s_file_is_not_taken(name: str, root: Path, runs: Path, command: Command) -> None:
    (level,) = root.glob("lottery_*/replicate_1/level_2")
    (level / "done.json").unlink()  # as if it had been killed at its end
    swap(level / f"{name}.safetensors")
    outcome = command(*LOTTERY, "--replicate=1", f"--root={root}")
    assert outcome.code == 2
    owner = f"{level.parent.parent.name}/replicate_2/level_2/{name}.safetensors"
    assert f"{level / name}.safetensors is damaged (it belongs to {owner})" in outcome.err
    (level / f"{name}.safetensors").unlink()
    assert command(*LOTTERY, "--replicate=1", f"--root={root}").code == 0
    assert computed(root) == computed(runs)


def test_nothing_is_deleted_by_a_repair(root: Path, command: Command) -> None:
    (mask,) = root.glob("lottery_*/replicate_1/level_1/mask.safetensors")
    flip(-1)(mask)
    before = mask.read_bytes()
    outcome = command("verify", "--repair", f"--root={root}")
    assert f"put aside: {mask}.aside_1" in outcome.out
    assert mask.with_name(f"{mask.name}.aside_1").read_bytes() == before


def test_what_is_kept_nowhere_else_is_not_put_aside(root: Path, command: Command) -> None:
    (run,) = root.glob("train_*/replicate_1")
    for path in run.glob("environment.*"):
        path.write_text("{}")
    (level,) = root.glob("lottery_*/replicate_1/level_1")
    flip(-5)(level / "metrics.jsonl")
    (level / "checkpoint.safetensors").unlink()
    before = computed(root)
    outcome = command("verify", "--repair", f"--root={root}")
    assert outcome.out.count("Nothing else holds it: rename the directory") == 3
    assert computed(root) == before


def test_a_run_in_which_a_process_works_is_left_alone(root: Path, command: Command) -> None:
    (run,) = root.glob("train_*/replicate_1")
    flip(-9)(run / "done.json")
    before = computed(root)
    with Store(run).lock(Reporter()):
        outcome = command("verify", "--repair", f"--root={root}")
    assert outcome.code == 0
    assert f"{run} is left out: a process works in it" in outcome.out
    assert computed(root) == before


def test_given_directories_are_verified_alone(root: Path, command: Command) -> None:
    (run,) = root.glob("train_*/replicate_1")
    (other,) = root.glob("lottery_*/replicate_1")
    flip(30)(other / "desc.json")
    assert command("verify", str(run)).code == 0
    assert command("verify", str(run.parent)).out.startswith("2 runs")
    assert command("verify", str(run), str(other)).code == 1


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("nowhere",), "nowhere: no run; expected <root>/<kind>_<hash>/replicate_<n>"),
        (("--root=nowhere",), "--root=nowhere: no such directory"),
        (("--reapir",), "--reapir"),
    ],
)
def test_what_is_no_run_is_refused(argv: tuple[str, ...], text: str, command: Command) -> None:
    outcome = command("verify", *argv)
    assert outcome.code == 2
    assert text in outcome.err


def test_a_newer_program_s_file_is_no_damage_that_is_put_aside(root: Path, command: Command) -> None:
    (done,) = root.glob("train_*/replicate_1/done.json")
    done.write_text(json.dumps({"format": 9, "loss": 1}))
    outcome = command("verify", "--repair", f"--root={root}")
    assert "was written by a newer version of this program" in outcome.out
    assert done.exists()
