"""Tables and figures from analyses on disk."""

import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from experiments.report import tables as writing
from experiments.report.collect import collect, collect_levels
from experiments.report.figures.drawing import density_axis, treatments
from experiments.report.figures.palette import new_figure
from experiments.report.stability import branch_reports, figures, report_branch, write_report
from foundations.context import Context
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from lottery import Level, LotteryDesc
from lottery.branch import Branch, LevelBranch, branches
from pruning import PruningHparams, strategies
from stability import AnalysisAtK, StabilityDesc
from stability.branch import Stability
from training.data import DeviceData
from training.hparams import TrainDesc
from training.trunk import Trunk

MakeRunner = Callable[..., AnalysisAtK]


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
        runner.compare()
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
    write_report(collect(stores), tmp_path, Reporter())
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
    write_report(collect(stores), tmp_path, Reporter())
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
    write_report(collect(stores), tmp_path, Reporter())
    names = {path.name for path in tmp_path.glob("*.svg")}
    assert names == {
        "accuracy.svg", "barrier_against_gap.svg", "barrier_by_k.svg", "interpolation_adsynflow_50.svg",
        "interpolation_full_network.svg",
    }  # fmt: skip
    for path in tmp_path.glob("*.svg"):
        ElementTree.parse(path)
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    before = contents(tmp_path)
    (tmp_path / "accuracy.svg").unlink()
    write_report(collect(stores), tmp_path, Reporter())
    after = contents(tmp_path)
    assert after.pop("accuracy.svg")[1] == before.pop("accuracy.svg")[1]
    assert after == before


def test_figures_are_drawn_again_only_if_a_table_has_changed(
    stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def images(make: Callable[[], object]) -> dict[str, bytes]:
        drawn.append("one")
        return {"svg": b"", "png": b""}

    monkeypatch.setattr(writing, "images", images)
    rows = collect(stores)
    for _ in range(2):
        write_report(rows, tmp_path, Reporter())
        assert len(drawn) == 5
    rows.analyses[0]["threshold"] = 0.5
    write_report(rows, tmp_path, Reporter())
    assert len(drawn) == 10


def test_a_network_without_batchnorm_has_one_curve_for_both_treatments() -> None:
    point = {"error": 0.1, "loss": 0.5}
    lines = [{**point, "batchnorm": "raw"}, {**point, "batchnorm": "recalculated"}]
    assert treatments(lines) == ["raw"]
    aligned = [{**point, "batchnorm": name} for name in ("aligned", "aligned_recalculated")]
    assert treatments([*lines, *aligned]) == ["raw", "aligned", "aligned_recalculated"]
    lines[1]["loss"] = 0.4
    assert treatments(lines) == ["raw", "recalculated"]


def test_planes_and_alignments_have_tables_and_figures_where_they_were_asked_for(
    tmp_path: Path, make_runner: MakeRunner, full: StabilityDesc
) -> None:
    pytest.importorskip("matplotlib")
    runner = make_runner(tmp_path / "runs", full, plane=3, align=True)
    runner.compare()
    rows = collect([runner.store])
    write_report(rows, tmp_path / "report", Reporter())
    assert (tmp_path / "report" / "plane.svg").exists()
    assert len(table(tmp_path / "report" / "plane_points.csv")) == 3 * 3 * 2
    [row] = table(tmp_path / "report" / "barrier_by_k.csv")
    barriers = runner.result().error_barrier.test
    assert float(row["test_error_barrier_aligned"]) == barriers.aligned
    assert float(row["test_error_barrier_aligned_recalculated"]) == barriers.aligned_recalculated
    assert float(row["ensemble_accuracy"]) == runner.result().ensemble_accuracy
    assert len(rows.lines) == 5 * 2 * 4  # alphas, splits, treatments
    labels = [text.get_text() for text in figures(rows)["plane"]().legends[0].get_texts()]
    assert labels == ["trunk's saved epochs, projected", "start", "child 1", "child 2"]


# A lottery run's levels --------------------------------------------------------------------------------------------


@pytest.fixture
def lottery(tmp_path: Path, digits: DeviceData, listener: Reporter, train: TrainDesc) -> tuple[Stability, Store]:
    """The levels 0 to 2 of a lottery run, with analyses of their masks."""
    desc = LotteryDesc(
        train=train, strategy=strategies.get("magnitude")(), pruning=PruningHparams(pruning_fraction=0.5), k=Step("1ep")
    )
    context = Context(root=tmp_path, data_dir=Path("unused"), reporter=listener)
    branch, trunk = Stability(alphas=3), Trunk(desc.train, 1, digits, context)
    levels = [Level(number, desc, trunk) for number in range(3)]
    for level in levels:
        level.train()
        LevelBranch(level, branch).train()
    return branch, levels[0].run


@pytest.mark.usefixtures("undrawn")
def test_the_table_by_level_holds_what_instability_json_says(
    lottery: tuple[Stability, Store], listener, tmp_path: Path
) -> None:
    branch, store = lottery
    report_branch([store], branch, Context(root=tmp_path, data_dir=tmp_path, reporter=listener))
    found = table(store / "report" / "stability" / "barrier_by_level.csv")
    assert [(row["level"], row["density"], row["k"]) for row in found] == [
        ("0", "1.0", "1ep"), ("1", "0.5", "1ep"), ("2", "0.25", "1ep"),
    ]  # fmt: skip
    for row in found:
        result = store.sub(f"level_{row['level']}").sub(branch.key).read_json("instability.json")
        assert float(row["test_error_barrier_raw"]) == result["error_barrier"]["test"]["raw"]
    lines = table(store / "report" / "stability" / "lines.csv")
    assert len(lines) == 3 * 3 * 2 * 2  # levels, alphas, splits, BatchNorm
    assert "matplotlib is not installed" in listener.warned[-1]


def test_levels_have_the_figures_of_several_k(lottery: tuple[Stability, Store], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    branch, store = lottery
    write_report(collect_levels([store], branch.key), tmp_path / "report", Reporter())
    names = {path.name for path in (tmp_path / "report").glob("*.svg")}
    assert names == {"accuracy.svg", "barrier_against_gap.svg", "barrier_by_level.svg", "interpolation.svg"}
    makers = figures(collect_levels([store], branch.key))
    assert [axis.get_title() for axis in makers["interpolation"]().axes[:3]] == [
        "level 0 (100.0%)", "level 1 (50.0%)", "level 2 (25.0%)",
    ]  # fmt: skip
    by_level = makers["barrier_by_level"]().axes[0]
    assert [text.get_text() for text in by_level.get_xticklabels()] == ["50", "100"]
    assert by_level.get_xlim()[0] > by_level.get_xlim()[1]  # pruning goes on to the right


def test_a_branch_of_another_plug_in_can_have_a_report_too(tmp_path: Path, listener) -> None:
    written: list[list[Path]] = []

    @branch_reports.register("shuffle")
    def shuffled(runs: Sequence[Store], branch: Branch, context: Context) -> None:
        written.append([run.path for run in runs])

    context = Context(root=tmp_path, data_dir=tmp_path, reporter=listener)
    for name in ("shuffle", "rewind"):  # the latter has none
        report_branch([Store(tmp_path / "run")], branches.get(name)(), context)
    assert written == [[tmp_path / "run"]]


@pytest.mark.parametrize(
    ("percents", "ticks"),
    [((100, 3), "5 10 20 50 100"), ((100, 0.01), "0.01 0.1 1 10 100"), ((40, 30), "20 50"),
     ((10,), "1 2 5 10 20 50 100")],
)  # fmt: skip
def test_densities_read_1_2_5_10(percents: tuple[float, ...], ticks: str) -> None:
    pytest.importorskip("matplotlib")
    axis = new_figure(4, 3).subplots()
    axis.plot(percents, percents, "o")
    density_axis(axis)
    assert " ".join(text.get_text() for text in axis.get_xticklabels()) == ticks


def test_every_axis_has_a_name(stores: list[Store]) -> None:
    pytest.importorskip("matplotlib")
    for make in figures(collect(stores)).values():
        figure = make()
        visible = [axis for axis in figure.axes if axis.get_visible()]
        assert any(axis.get_xlabel() for axis in visible)
        assert any("(" in axis.get_ylabel() for axis in visible)  # its unit


@pytest.mark.usefixtures("undrawn")
def test_without_matplotlib_there_are_tables_and_that_is_said(stores: list[Store], tmp_path: Path, listener) -> None:
    write_report(collect(stores), tmp_path, listener)
    assert "matplotlib is not installed" in listener.warned[-1]
    assert {path.suffix for path in tmp_path.iterdir() if not path.name.startswith(".")} == {".csv"}
