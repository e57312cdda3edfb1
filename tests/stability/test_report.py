"""Tables and figures from analyses on disk."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from foundations.store import Store
from stability import StabilityDesc, StabilityRunner, figures
from stability.report import directory_for, write_report

MakeRunner = Callable[..., StabilityRunner]


@pytest.fixture
def stores(shared_root: Path, make_runner: MakeRunner, full: StabilityDesc, pruned: StabilityDesc) -> list[Store]:
    """Full and pruned networks at two k's, two replicates."""
    runners = [
        make_runner(shared_root, desc, k=k, replicate=replicate)
        for desc in (full, pruned)
        for k in ("1ep", "2ep")
        for replicate in (1, 2)
    ]
    for runner in runners:
        runner.run()
    return [runner.store for runner in runners if runner.k.short == "1ep"]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if matplotlib were not installed, which is faster too."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.mark.usefixtures("undrawn")
def test_the_table_by_k_holds_what_instability_json_says(stores: list[Store], tmp_path: Path) -> None:
    write_report(stores, tmp_path)
    for store in stores:
        result = store.sub("k_2ep0it").read_json("instability.json")
        network = "full network" if result["strategy"] == "none" else "adsynflow, 50%"
        [row] = [
            row
            for row in table(tmp_path / "barrier_by_k.csv")
            if (row["network"], row["k"], f"replicate_{row['replicate']}") == (network, "2ep", store.path.name)
        ]
        assert float(row["test_error_barrier_raw"]) == result["error_barrier"]["test"]["raw"]
        assert float(row["accuracy_gap"]) == result["accuracy_gap"]
        assert row["k_epoch"] == "2.0"
        assert row["stable"] == str(result["stable"])


@pytest.mark.usefixtures("undrawn")
def test_lines_and_trainings_are_complete(stores: list[Store], tmp_path: Path) -> None:
    write_report(stores, tmp_path)
    own = [row for row in table(tmp_path / "lines.csv") if (row["network"], row["k"]) == ("full network", "1ep")]
    assert len(own) == 2 * 5 * 2 * 2  # replicates, alphas, splits, BatchNorm
    training = table(tmp_path / "training.csv")
    trunk = [row for row in training if row["k_epoch"] == "" and row["replicate"] == "1"]
    assert [float(row["epoch"]) for row in trunk] == [0, 1, 2, 3, 4]
    child = [row for row in training if (row["network"], row["replicate"], row["k_epoch"], row["child"])
             == ("adsynflow, 50%", "1", "2.0", "2")]  # fmt: skip
    assert [float(row["epoch"]) for row in child] == [2, 3, 4]


def test_figures_are_images_and_redrawn_no_file_is_touched(stores: list[Store], tmp_path: Path, contents) -> None:
    pytest.importorskip("matplotlib")
    assert write_report(stores, tmp_path)
    names = {path.name for path in tmp_path.glob("*.svg")}
    assert names == {
        "accuracy.svg", "barrier_against_gap.svg", "barrier_by_k.svg", "interpolation_adsynflow_50.svg",
        "interpolation_full_network.svg",
    }  # fmt: skip
    for path in tmp_path.glob("*.svg"):
        ElementTree.parse(path)
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    before = contents(tmp_path)
    write_report(stores, tmp_path)
    assert contents(tmp_path) == before


def test_every_axis_has_a_name(stores: list[Store]) -> None:
    pytest.importorskip("matplotlib")
    from stability.collect import collect

    for _, figure in figures.draw(collect(stores)):
        visible = [axis for axis in figure.axes if axis.get_visible()]
        assert any(axis.get_xlabel() for axis in visible)
        assert any("(" in axis.get_ylabel() for axis in visible)  # its unit


@pytest.mark.usefixtures("undrawn")
def test_without_matplotlib_there_are_tables(stores: list[Store], tmp_path: Path) -> None:
    assert not write_report(stores, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv"}


def test_several_runs_have_one_place_whatever_their_order(stores: list[Store]) -> None:
    root = stores[0].path.parents[1]
    assert directory_for(stores[:1], root) == stores[0].path / "report"
    assert directory_for(stores, root) == directory_for(stores[::-1], root)
    assert directory_for(stores, root).parent == root / "report"
