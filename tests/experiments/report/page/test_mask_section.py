"""Masks that change in training, on the page."""

from pathlib import Path

import pytest

from experiments.report.material import Material, gather
from experiments.report.page.build import sections
from experiments.report.page.lottery import mask_section
from experiments.runs import stored
from experiments.session import Session
from foundations import files
from foundations.store import Store

TINY = {
    "dataset": "digits", "model": "mnist_lenet_4", "training_steps": "2ep", "subsample_fraction": 0.2, "k": 0,
    "batch_size": 64, "density": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten steps, 5 an epoch, with an update every second one up to the eighth; of synflow none. Not to be changed."""
    root = tmp_path_factory.mktemp("masks") / "runs"
    session = Session(root, threads=1, quiet=True)
    every = {"update_every": "2it", "update_until": 0.8}
    session.lottery(**TINY, **every, pruning_strategy=["gmp", "set"], replicate=[1, 2]).run()
    session.lottery(**TINY, pruning_strategy="synflow").run()
    return root


@pytest.fixture
def found(root: Path) -> Material:
    return gather(stored.runs(root))


def test_every_update_has_its_epoch(found: Material) -> None:
    """Also at k = 0, where the trunk itself was trained to no epoch's end."""
    assert {row["strategy"] for row in found.updates} == {"gmp", "set"}
    epochs = [row["epoch"] for row in found.updates if (row["strategy"], row["replicate"]) == ("set", 1)]
    assert epochs == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])
    assert [row["epoch"] for row in found.training if (row["strategy"], row["replicate"]) == ("set", 1)] == [0, 1, 2]


def test_the_table_says_what_was_ever_kept(found: Material, root: Path) -> None:
    [table] = mask_section(found).tables
    rows = {cells[0]: dict(zip(table.table.headers, cells, strict=True)) for cells in table.table.cells}
    assert list(rows) == ["gmp", "set"]
    assert (rows["gmp"]["at first"], rows["gmp"]["ever kept"]) == ("100.00% +- 0.00", "100.00% +- 0.00")
    assert (rows["gmp"]["updates"], rows["gmp"]["grown"]) == ("4", "0")
    assert rows["set"]["dropped"] == rows["set"]["grown"]
    levels = [path for path in root.glob("lottery_*/*/level_1") if '"set"' in (path.parent / files.DESC).read_text()]
    ever = [Store(level).result()["ever_active"] for level in levels]
    assert rows["set"]["ever kept"].startswith(f"{sum(ever) / 2:.2%} +- ")


def test_the_figure_has_both_curves_of_each_strategy(found: Material) -> None:
    pytest.importorskip("matplotlib")
    [figure] = mask_section(found).figures
    [axes] = figure.make().axes
    curves = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert curves.keys() == {"gmp", "gmp: ever", "set", "set: ever"}
    assert curves["gmp"][0] == 100
    assert curves["gmp"] == sorted(curves["gmp"], reverse=True)
    assert curves["set: ever"] == sorted(curves["set: ever"])
    assert curves["set: ever"][-1] > curves["set"][-1]
    names, _ = figure.data
    assert {"epoch", "density", "ever_active", "dropped", "grown", "replicate"} <= set(names)


def test_without_such_masks_there_is_no_section(root: Path) -> None:
    runs = [run for run in stored.runs(root) if "synflow" in str(run.hyperparameters)]
    assert len(runs) == 1
    assert "masks" not in [section.name for section in sections(gather(runs))]
    assert "masks" in [section.name for section in sections(gather(stored.runs(root)))]
