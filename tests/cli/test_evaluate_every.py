"""--evaluate_every: fewer or more rows of metrics, the same weights, keys, tables and figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import main
from experiments.runs.stored import runs
from foundations.store import Store
from tests.reliability.conftest import TINY

Command = Callable[..., Any]
ANALYSIS = ("stability", *TINY, "--pruning_strategy=none", "--k=1", "--alphas=2")


def weights(root: Path) -> dict[str, bytes]:
    paths = sorted(root.rglob("*.safetensors"))
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if "checkpoint" not in path.name}


def verdict(analysis: Store) -> tuple[Any, Any]:
    """A verdict and the checksums of what it rests on, but those that depend on how many rows the metrics have."""
    others = ("metrics.jsonl", "done.json")  # a child's marker holds the checksum of its metrics
    parts = analysis.parts("instability.json").items()
    return analysis.read_json("instability.json"), {name: None if name.endswith(others) else sha for name, sha in parts}


@pytest.fixture(scope="module")
def each_epoch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("each_epoch")
    assert main([*ANALYSIS, f"--root={root}"]) == 0
    return root


@pytest.mark.parametrize(("every", "expected"), [("2ep", [0, 10, 15]), ("2it", [0, 2, 4, 6, 8, 10, 12, 14, 15])])
def test_weights_keys_and_verdict_are_the_same(
    every: str, expected: list[int], each_epoch: Path, command: Command, tmp_path: Path
) -> None:
    outcome = command(*ANALYSIS, f"--evaluate_every={every}", f"--root={tmp_path}")
    assert outcome.code == 0
    assert weights(tmp_path) == weights(each_epoch)
    (trunk,) = tmp_path.glob("train_*/replicate_1")
    assert [row["iteration"] for row in Store(trunk).read_rows("metrics.jsonl")] == expected
    for name in ("instability.json", "interpolation.csv", "report/barrier_by_k.csv", "report/pairs.csv"):
        (here,), (there,) = (list(root.glob(f"stability_*/replicate_1/**/{name}")) for root in (tmp_path, each_epoch))
        if name == "instability.json":
            assert verdict(Store(here.parent)) == verdict(Store(there.parent))
        else:
            assert here.read_bytes() == there.read_bytes()
    (table,) = tmp_path.glob("stability_*/replicate_1/report")
    epochs = [float(row["epoch"]) for row in Store(table).read_table("training.csv") if row["child"] == "0"]
    assert epochs == [iteration / 5 for iteration in expected]
    assert (table / "barrier_by_k.svg").is_file()


def test_a_trunk_without_a_row_where_it_has_come_to_is_trained_to_there(command: Command, tmp_path: Path) -> None:
    assert command("train", *TINY, "--to=2", "--evaluate_every=5ep", f"--root={tmp_path}").code == 0
    [run] = runs(tmp_path)
    assert run.state == "trained to 2ep"


@pytest.mark.parametrize("every", ["0", "0it", "0ep0it", "-1", "sometimes"])
def test_what_is_no_step_is_refused(every: str, command: Command, tmp_path: Path) -> None:
    outcome = command("train", *TINY, f"--evaluate_every={every}", f"--root={tmp_path / 'runs'}")
    assert outcome.code == 2
    assert f"--evaluate_every={every}" in outcome.err or "--evaluate_every=0ep" in outcome.err
    assert not (tmp_path / "runs").exists()
