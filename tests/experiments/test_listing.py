"""All runs as rows, and what they are chosen and ordered by."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from experiments.runs.listing import chosen, in_order, known_columns, list_runs, state_text
from experiments.runs.status import Status
from foundations.errors import UsageError
from foundations.store import Store

HOME = Path(__file__).parents[2]
FORMAT_2 = HOME / "tests" / "stored_runs" / "format_2"
INTERRUPTED = "lottery_2966a787fcf8/replicate_1"
STABILITY = "stability_9186417ce142/replicate_1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Runs of four kinds and a branch, one of them interrupted."""
    shutil.copytree(FORMAT_2, tmp_path / "runs")
    return tmp_path / "runs"


def row_of(root: Path, run: str) -> dict[str, Any]:
    [row] = [row for row in list_runs(root) if row["run"] == run]
    return row


def found(root: Path, *conditions: str) -> list[str]:
    rows = list_runs(root)
    return [f"{row['kind']} {row['part']}".partition("_44")[0] for row in chosen(rows, conditions, known_columns(rows))]


def test_a_row_for_each_part_says_what_it_is_and_what_came_of_it(root: Path) -> None:
    names = ("kind", "part", "pruning_strategy", "density", "k", "level", "children", "state", "accuracy", "barrier")
    assert [tuple(row[name] for name in names) for row in list_runs(root)] == [
        ("lottery", "level_1", "magnitude", 0.5, "0ep", 1, None, "interrupted", pytest.approx(0.0986, abs=1e-4), None),
        ("lottery", "level_0", "adsynflow", 1.0, "1ep", 0, None, "done", pytest.approx(0.2056, abs=1e-4), None),
        ("lottery", "level_1", "adsynflow", 0.5, "1ep", 1, None, "done", pytest.approx(0.2028, abs=1e-4), None),
        ("lottery", "level_1/shuffle_44136fa355b3", "adsynflow", 0.5, "1ep", 1, None, "done",
         pytest.approx(0.1944, abs=1e-4), None),
        ("lottery", "level_1/stability_44136fa355b3", "adsynflow", 0.5, "1ep", 1, 2, "done",
         pytest.approx(0.1915, abs=1e-4), pytest.approx(0.0028, abs=1e-4)),
        ("stability", "k_1ep0it", "adsynflow", 0.5, "1ep", None, 2, "done", pytest.approx(0.1915, abs=1e-4),
         pytest.approx(0.0028, abs=1e-4)),
        ("stability", "k_1ep0it", "none", 1.0, "1ep", None, 2, "done", pytest.approx(0.2127, abs=1e-4),
         pytest.approx(0.0014, abs=1e-4)),
        ("train", "", None, 1.0, None, None, None, "done", pytest.approx(0.2056, abs=1e-4), None),
    ]  # fmt: skip


def test_hyperparameters_have_the_names_of_their_flags(root: Path) -> None:
    row = row_of(root, INTERRUPTED)
    assert (row["lr"], row["training_steps"], row["milestone_steps"]) == (0.2, "2ep", "12ep,17ep")
    assert row["model"] == "mnist_lenet_4"


def test_sizes_are_those_of_the_files_each_counted_once(root: Path) -> None:
    run = root / "train_a7b76040da42" / "replicate_1"
    assert row_of(root, "train_a7b76040da42/replicate_1")["size"] == sum(p.stat().st_size for p in run.iterdir())
    level = root / "lottery_b5c2446f2113" / "replicate_1" / "level_1"
    parts = [row["size"] for row in list_runs(root) if row["path"].startswith(str(level))]
    assert len(parts) == 3
    assert sum(parts) == sum(path.stat().st_size for path in level.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"kind": "lottery", "train": 3, "strategy": 4}', b"\xff"])
@pytest.mark.parametrize("name", ["desc.json", "k_1ep0it/instability.json"])
def test_a_damaged_run_is_a_row_and_no_end(damage: bytes, name: str, root: Path) -> None:
    whole = len(list_runs(root))
    (root / STABILITY / name).write_bytes(damage)
    rows = list_runs(root)
    [row] = [row for row in rows if row["run"] == STABILITY]
    assert (row["state"], len(rows)) == ("damaged", whole)
    assert row["reason"]


def test_a_run_without_its_descriptor_is_damaged(root: Path) -> None:
    (root / STABILITY / "desc.json").unlink()
    assert row_of(root, STABILITY)["state"] == "damaged"


# States --------------------------------------------------------------------------------------------------------------


def test_a_running_part_says_since_when_and_its_finished_neighbours_are_done(root: Path) -> None:
    level = root / INTERRUPTED / "level_1"
    Status(state="running", task="level 1", since="2026-03-01T14:05:09+01:00").write(Store(level))
    assert state_text(row_of(root, INTERRUPTED)) == "interrupted at 1ep"  # it says so, but nobody holds the lock
    with FileLock(level / ".lock"):
        assert state_text(row_of(root, INTERRUPTED)) == "running since 14:05"


def test_a_failed_part_says_why(root: Path) -> None:
    reason, since = "No space left on device\nand advice", "2026-03-01T14:05:09+01:00"
    status = Status(state="failed", task="level 1", since=since, reason=reason)
    status.write(Store(root / INTERRUPTED / "level_1"))
    row = row_of(root, INTERRUPTED)
    assert (row["state"], row["reason"], row["at"]) == ("failed", "No space left on device", "1ep")


def test_a_diverged_part_says_where(root: Path) -> None:
    store = Store(root / INTERRUPTED / "level_1")
    rows = store.read_rows("metrics.jsonl")
    store.write_rows("metrics.jsonl", [*rows[:-1], rows[-1] | {"diverged": True}])
    row = row_of(root, INTERRUPTED)
    assert state_text(row) == "diverged at 1ep"
    assert row["reason"] == "the loss was not finite at 1ep"


def test_a_mask_without_a_path_is_collapsed_trained_or_not(root: Path) -> None:
    for run in (INTERRUPTED, STABILITY):
        [report] = (root / run).glob("*/sparsity_report.json")
        store = Store(report.parent)
        store.write_json(report.name, store.read_json(report.name) | {"has_path": False})
        for marker in filter(store.has, ["instability.json"]):
            store.write_json(marker, store.read_json(marker), store.parts(marker) | store.sums(report.name))
    for name in ("metrics.jsonl", "checkpoint.safetensors"):
        (root / INTERRUPTED / "level_1" / name).unlink()
    assert state_text(row_of(root, INTERRUPTED)) == "collapsed"
    assert row_of(root, INTERRUPTED)["reason"] == "no path from input to output is left (empty: no layer)"
    assert state_text(row_of(root, STABILITY)) == "done, collapsed"


# Conditions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        (["pruning_strategy=adsynflow", "kind=stability"], ["stability k_1ep0it"]),
        (["strategy=none"], ["stability k_1ep0it"]),
        (["kind=train", "lr>=0.2"], ["train "]),
        (["kind=train", "lr > 20%"], []),
        (["k<1"], ["lottery level_1"]),
        (["k<=5it"], ["lottery level_1"]),
        (["milestone_steps!=12ep,17ep"], []),
        (["level=0"], ["lottery level_0"]),
        (["barrier>0.2%"], ["lottery level_1/stability", "stability k_1ep0it"]),
        (["level!=1", "kind!=stability"], ["lottery level_0", "train "]),
        (["state=interrupted"], ["lottery level_1"]),
        (["compile=false", "kind=train"], ["train "]),
    ],
)
def test_conditions_compare_numbers_steps_and_text(conditions: list[str], kept: list[str], root: Path) -> None:
    assert found(root, *conditions) == kept


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("lrr<1", "--where=lrr: no such column or hyperparameter .did you mean 'lr'"),
        ("lr", "--where=lr: expected NAME=VALUE"),
        ("model<3", "--where=model<3: model is 'mnist_lenet_4'"),
    ],
)
def test_a_condition_that_means_nothing_is_refused(condition: str, words: str, root: Path) -> None:
    with pytest.raises(UsageError, match=words):
        found(root, condition)


def test_rows_are_sorted_by_any_column_and_those_without_come_last(root: Path) -> None:
    rows = list_runs(root)
    known = known_columns(rows)
    assert [row["k"] for row in in_order(rows, "k", known)] == ["0ep", *["1ep"] * 6, None]
    accuracies = [row["accuracy"] for row in in_order(rows, "-accuracy", known)]
    assert accuracies == sorted(accuracies, reverse=True)
    assert [row["barrier"] for row in in_order(rows, "-barrier", known)][3:] == [None] * 5
    with pytest.raises(UsageError, match=r"--sort=acuracy: .*did you mean 'accuracy'"):
        in_order(rows, "acuracy", known)


def test_listing_needs_no_pytorch() -> None:
    code = "import sys, experiments.runs.listing, cli.commands.list; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=HOME).returncode == 0
