"""Tables and figure of lottery runs, from rows written by hand."""

import csv
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.report.comparisons import comparison_table, comparisons
from experiments.report.figures.drawing import styled
from experiments.report.figures.lottery import accuracy, accuracy_against_cost, left_out, lottery_figures
from experiments.report.lottery import branch_table, lottery_table, measurements_table, write_report
from experiments.report.replicates import FULL, Replicates, full_network_once, summarize, varied_names
from experiments.report.tables import Table
from foundations.reporting import Reporter


def row(strategy: str, level: int, replicate: int, accuracy: float, density: float = 0.1) -> dict[str, Any]:
    """A level's result as the command hands it over."""
    path = Path("runs") / f"lottery_{strategy}_{density}" / f"replicate_{replicate}" / f"level_{level}"
    return {
        "strategy": strategy, "k": "4ep", "level": level, "density": density if level else 1.0, "replicate": replicate,
        "test_accuracy": accuracy, "test_loss": 1.0, "train_accuracy": 1.0, "path": path,
    }  # fmt: skip


ROWS = [
    row("snip", 0, 1, 0.9), row("snip", 1, 1, 0.6), row("snip", 0, 2, 0.8), row("snip", 1, 2, 0.8),
    row("random", 0, 1, 0.9), row("random", 1, 1, 0.3), row("random", 0, 2, 0.8), row("random", 1, 2, 0.3),
]  # fmt: skip


def table_of(rows: list[dict[str, Any]], *, where: bool = True) -> Table:
    """What the command prints, or the page shows."""
    return lottery_table(summarize(full_network_once(rows)), varied_names(rows), where=where)


def test_a_line_has_mean_and_standard_deviation_of_its_replicates() -> None:
    line = Replicates(
        "snip", "4ep", 1, 0.1, (0.6, 0.8), (Path("runs/a/replicate_1/level_1"), Path("runs/a/replicate_2/level_1"))
    )
    assert line.mean == pytest.approx(0.7)
    assert line.standard_deviation == pytest.approx(0.1 * 2**0.5)  # deviations of 0.1 each, over n - 1 = 1
    assert line.place == Path("runs/a")


def test_the_full_network_that_strategies_share_counts_once() -> None:
    lines = summarize(full_network_once(ROWS))
    assert [(line.strategy, line.level, line.values) for line in lines] == [
        (FULL, 0, (0.9, 0.8)), ("snip", 1, (0.6, 0.8)), ("random", 1, (0.3, 0.3)),
    ]  # fmt: skip


def test_densities_are_drawn_as_they_were_asked_for() -> None:
    pytest.importorskip("matplotlib")
    densities = ((0.0997, 0.1), (0.0203, 0.02))
    rows = [{**row("snip", 1, 1, 0.6, density=exact), "density_asked": asked} for exact, asked in densities]
    [axes] = accuracy(summarize(rows), []).axes
    assert [float(x) for x in axes.lines[0].get_xdata()] == [10.0, 2.0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["2", "5", "10"]


def test_chains_of_levels_have_curves_of_their_own() -> None:
    pytest.importorskip("matplotlib")
    chains = [
        {**row("sparse_global", level, 1, 0.6, density=kept**level), "key": f"keeps {kept}"}
        for kept in (0.8, 0.5) for level in (1, 2)
    ]  # fmt: skip
    single = {**row("sparse_global", 1, 1, 0.6), "key": "single"}
    [axes] = accuracy(summarize([*chains, single]), []).axes
    curves = {line.get_label(): list(line.get_xdata()) for line in axes.lines if line.get_label()[0] != "_"}
    assert curves == {
        "sparse_global, 80% a level": pytest.approx([80, 64]), "sparse_global, 50% a level": pytest.approx([50, 25]),
        "sparse_global, in one level": pytest.approx([10]),
    }  # fmt: skip


def test_data_sets_and_models_have_panels_of_their_own() -> None:
    pytest.importorskip("matplotlib")
    rows = [
        {**row(name, level, 1, 0.6, kept), "varied": {"model": model}, "key": f"{model}{name}{kept}",
         "model": f"../{model}/a/b"}
        for model, names in (("small", ("random", "snip")), ("large", ("snip",)))
        for name in names for level, kept in ((0, 1.0), (1, 0.5), (1, 0.1))
    ]  # fmt: skip
    figure = accuracy(summarize(full_network_once(rows)), ["model"])
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == ["small", "large"]
    drawn = [{line.get_label(): line.get_color() for line in axes.lines if line.get_label()[0] != "_"}
             for axes in figure.axes]  # fmt: skip
    assert list(drawn[0]) == ["full network", "random", "snip"]
    assert list(drawn[1]) == ["full network", "snip"]
    assert drawn[0]["snip"] == drawn[1]["snip"]


def test_a_strategy_looks_the_same_where_others_are_missing() -> None:
    pytest.importorskip("matplotlib")
    strategies = ["a", "b", "c", "d", "e", "f", "g", "h"]
    lines = summarize([row(name, 1, 1, 0.6, density) for name in strategies for density in (0.1, 0.05)])

    def looks(figure: Any) -> dict[str, Any]:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        curves = [handle if hasattr(handle, "get_marker") else handle[0] for handle in handles]
        return {label: (curve.get_color(), curve.get_marker()) for label, curve in zip(labels, curves, strict=True)}

    every = looks(accuracy(lines, []))
    assert len({every[name] for name in strategies}) == len(strategies)
    with_cost = [replace(line, training_cost=0.5) if line.strategy in "bg" else line for line in lines]
    some = looks(accuracy_against_cost(with_cost, []))
    assert {name: some[name] for name in "bg"} == {name: every[name] for name in "bg"}


def test_of_many_curves_the_best_of_each_strategy_are_shown() -> None:
    pytest.importorskip("matplotlib")
    rows = [
        {**row(name, 1, 1, points / 100, density), "varied": {"lr": f"{points / 1000}"}, "key": f"{points} {density}"}
        for name in ("snip", "random") for points in range(40, 60) for density in (0.1, 0.05)
    ]  # fmt: skip
    lines = summarize(rows)
    [axes] = accuracy(lines, ["lr"]).axes
    labels = [line.get_label() for line in axes.lines if line.get_label()[0] != "_"]
    assert labels == [f"{name}, lr = {lr / 1000}" for name in ("snip", "random") for lr in range(54, 60)]
    assert left_out(lines, ["lr"]).startswith("12 of 40 curves")
    figure = lottery_figures(lines, ["lr"])["accuracy_map"]()
    maps = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in maps] == ["snip", "random"]
    assert maps[0].images[0].get_array().shape == (20, 2)  # learning rates and densities


def test_densities_are_lines_of_their_own() -> None:
    lines = summarize([row("snip", 1, 1, 0.6), row("snip", 1, 1, 0.5, density=0.05)])
    assert [line.density for line in lines] == [0.1, 0.05]


def test_replicates_stand_together_with_mean_and_standard_deviation() -> None:
    table = table_of(ROWS)
    assert table.headers == ["strategy", "k", "level", "density", "test accuracy", "n", "where"]
    assert table.cells == [
        [FULL, "", "0", "100%", "85.00% +- 7.07", "2", "runs/lottery_random_0.1"],
        ["snip", "4ep", "1", "10%", "70.00% +- 14.14", "2", "runs/lottery_snip_0.1"],
        ["random", "4ep", "1", "10%", "30.00% +- 0.00", "2", "runs/lottery_random_0.1"],
    ]


def test_the_density_asked_for_stands_beside_the_exact_number_of_weights() -> None:
    rows = [{**row("snip", 1, 1, 0.6, density=0.09992), "density_asked": 0.1, "kept": 1249}]
    table = table_of(rows, where=False)
    assert table.headers == ["strategy", "k", "level", "density", "weights", "test accuracy", "n"]
    assert table.cells == [["snip", "4ep", "1", "10%", "1249", "60.00%", "1"]]


def test_methods_are_compared_replicate_by_replicate() -> None:
    """snip minus random: 30 and 50 points, so 40 +- 12.7 x 10; minus the full network: -30 and 0."""
    found = comparisons(ROWS)
    assert [(one.method, one.reference, one.found.text()) for one in found] == [
        ("random, k = 4ep", "snip, k = 4ep", "-40.00 (-167.06 to 87.06), n = 2"),
        ("snip, k = 4ep", FULL, "-15.00 (-205.59 to 175.59), n = 2"),
        ("random, k = 4ep", FULL, "-55.00 (-118.53 to 8.53), n = 2"),
    ]
    assert [one.p for one in found] == pytest.approx([0.312, 0.5, 0.173], abs=0.001)  # 3, 2 and 1 times their own
    assert not any(one.told_apart for one in found)
    assert comparison_table(found).cells[0][2:] == [
        "random, k = 4ep minus snip, k = 4ep", "-40.00 (-167.06 to 87.06), n = 2", "0.31", "",
    ]  # fmt: skip
    assert comparison_table(found).notes == []


def test_the_star_of_methods_that_are_told_apart_is_explained() -> None:
    better = [row("random", 1, number, 0.6 + number / 100 + number % 2 / 1000) for number in (1, 2, 3)]
    worse = [row("snip", 1, number, 0.3 + number / 100) for number in (1, 2, 3)]
    table = comparison_table(comparisons([*worse, *better]))
    assert [cells[-1] for cells in table.cells] == ["*"]
    [note] = table.notes
    assert note.startswith("*: told apart at 5%")


def test_twenty_curves_look_different() -> None:
    looks = {(curve.style["color"], curve.style["marker"]) for curve in styled({str(name): 0 for name in range(20)})}
    assert len(looks) == 20


def test_one_replicate_is_no_comparison() -> None:
    assert comparisons([entry for entry in ROWS if entry["replicate"] == 1]) == []


def test_a_branch_stands_beside_its_level() -> None:
    rows = [{**entry, "level_accuracy": 0.9} for entry in ROWS if entry["level"] and entry["replicate"] == 1]
    table = branch_table(rows, "shuffle", "test_accuracy")
    assert table.headers[-4:] == ["test accuracy", "shuffle: test accuracy", "n", "where"]
    assert [line[4:6] for line in table.cells] == [["90.00%", "60.00%"], ["90.00%", "30.00%"]]


# Experiments that differ in more than strategy, k and density --------------------------------------------------


def at_lr(lr: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows as those of an experiment with its own learning rate, and so its own trunk."""
    return [
        {**entry, "key": f"lottery_{entry['strategy']}_{lr}_{entry['density']}", "varied": {"lr": lr},
         "model": f"../../../train_{lr}/replicate_{entry['replicate']}/model_8ep0it.safetensors"}
        for entry in rows
    ]  # fmt: skip


SWEPT = [
    *at_lr("0.1", row("snip", 0, 1, 0.9), row("snip", 1, 1, 0.6), row("random", 0, 1, 0.9), row("random", 1, 1, 0.3)),
    *at_lr("0.01", row("snip", 0, 1, 0.7), row("snip", 1, 1, 0.5), row("random", 0, 1, 0.7), row("random", 1, 1, 0.2)),
]  # fmt: skip


def test_experiments_of_other_hyperparameters_are_no_replicates() -> None:
    table = table_of(SWEPT)
    assert table.headers == ["strategy", "k", "lr", "level", "density", "test accuracy", "n", "where"]
    assert [(line[0], line[2], line[5]) for line in table.cells] == [
        (FULL, "0.1", "90.00%"), (FULL, "0.01", "70.00%"),
        ("snip", "0.1", "60.00%"), ("random", "0.1", "30.00%"),
        ("snip", "0.01", "50.00%"), ("random", "0.01", "20.00%"),
    ]  # fmt: skip


def test_a_trunk_that_experiments_share_is_one_full_network() -> None:
    """The strategy's input does not say how the full network was trained."""
    rows = [
        {**entry, "key": f"lottery_{word}", "varied": {"synflow_input": word, "lr": "0.1"}}
        for word in ("ones", "mean")
        for entry in (row("synflow", 0, 1, 0.9), row("synflow", 1, 1, 0.6))
    ]
    lines = summarize(full_network_once(rows))
    assert [(line.strategy, dict(line.varied)) for line in lines] == [
        (FULL, {"lr": "0.1"}),
        ("synflow", {"synflow_input": "ones", "lr": "0.1"}),
        ("synflow", {"synflow_input": "mean", "lr": "0.1"}),
    ]
    assert table_of(rows).headers[2:4] == ["synflow_input", "level"]  # lr is the same everywhere


def test_what_has_a_column_anyway_gets_no_second_one() -> None:
    rows = [{**row("snip", 1, 1, 0.5, density), "varied": {"density": str(density)}} for density in (0.1, 0.2)]
    assert table_of(rows).headers == table_of(ROWS).headers


def test_files_have_the_columns_of_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for rows, varied in ((ROWS, []), (SWEPT, ["lr"])):
        write_report(rows, tmp_path / "report", Reporter())
        for name, values in (("runs", ["level", "density", "replicate"]), ("table", ["level", "density"])):
            header = (tmp_path / "report" / f"{name}.csv").read_text().splitlines()[0].split(",")
            assert header[: 2 + len(varied) + len(values)] == ["strategy", "k", *varied, *values]


def test_curves_are_named_by_what_differs() -> None:
    pytest.importorskip("matplotlib")
    finer = at_lr("0.01", row("snip", 1, 1, 0.4, density=0.05))
    [axes] = accuracy(summarize(full_network_once([*SWEPT, *finer])), ["lr"]).axes
    assert axes.get_legend_handles_labels()[1] == [
        "full network, lr = 0.1", "full network, lr = 0.01",
        "snip, lr = 0.1", "random, lr = 0.1", "snip, lr = 0.01", "random, lr = 0.01",
    ]  # fmt: skip


def test_the_figure_says_where_strategies_are_not_at_one_density() -> None:
    pytest.importorskip("matplotlib")
    for density, title in ((0.1, ""), (0.8, "not at one density")):
        rows = [row("snip", 1, 1, 0.6), row("sparse_global", 1, 1, 0.7, density)]
        [axes] = accuracy(summarize(rows), []).axes
        assert axes.get_title() == title


# Files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("densities", [(0.1,), (0.1, 0.05)], ids=["by strategy", "against density"])
def test_files_hold_the_numbers_and_are_the_same_when_drawn_again(densities: tuple[float, ...], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [*ROWS[:3], *(row("random", 1, replicate, 0.3, density) for density in densities for replicate in (1, 2))]
    for name in ("once", "again"):
        write_report(rows, tmp_path / name, Reporter())
    for path in (tmp_path / "once").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    with (tmp_path / "once" / "table.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(line["mean_test_accuracy"]) for line in table] == pytest.approx([0.85, 0.6, *[0.3] * len(densities)])
    svg = (tmp_path / "once" / "accuracy.svg").read_text()
    assert "<svg" in svg
    assert (tmp_path / "once" / "accuracy.png").read_bytes().startswith(b"\x89PNG")


# What did not end as it should ---------------------------------------------------------------------------------


def lost(entry: dict[str, Any], state: str) -> dict[str, Any]:
    """The row of a level that has come to no result."""
    measured = ("test_accuracy", "test_loss", "train_accuracy")
    return {**{name: value for name, value in entry.items() if name not in measured}, "state": state}


THREE = [row("snip", 1, 1, 0.6), row("snip", 1, 2, 0.8), row("snip", 1, 3, 0.0)]
ENDED = [*THREE[:2], lost(THREE[2], "collapsed"), lost(row("random", 1, 1, 0.0), "diverged")]


def test_replicates_without_a_result_are_counted() -> None:
    table = table_of(ENDED)
    assert [cells[4:6] for cells in table.cells] == [["70.00% +- 14.14", "2"], ["-", "0"]]
    assert table.notes == [
        "snip, k = 4ep, 10% kept: 2 of 3; 1 collapsed", "random, k = 4ep, 10% kept: 0 of 1; 1 diverged",
    ]  # fmt: skip
    trained_all_the_same = [*THREE[:2], {**THREE[2], "state": "collapsed"}]
    assert table_of(trained_all_the_same).notes == ["snip, k = 4ep, 10% kept: n=3; 1 collapsed"]


def test_csv_files_have_how_many_ended_in_which_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_report(ENDED, tmp_path, Reporter())
    runs, table = (list(csv.DictReader((tmp_path / f"{name}.csv").open())) for name in ("runs", "table"))
    assert [(one["state"], one["test_accuracy"]) for one in runs] == [
        ("done", "0.6"), ("done", "0.8"), ("collapsed", ""), ("diverged", ""),
    ]  # fmt: skip
    assert [(one["replicates"], one["done"], one["collapsed"], one["diverged"]) for one in table] == [
        ("2", "2", "1", "0"), ("0", "0", "0", "1"),
    ]  # fmt: skip
    assert table[1]["mean_test_accuracy"] == ""


def test_the_figure_says_where_replicates_are_missing() -> None:
    pytest.importorskip("matplotlib")
    sparser = [row("snip", 1, 1, 0.5, 0.05), lost(row("random", 1, 1, 0.0, 0.05), "diverged")]
    figure = accuracy(summarize([*ENDED, *sparser]), [])
    assert "not all" in figure.get_suptitle()
    marks = [(line.get_marker(), line.get_markerfacecolor()) for line in figure.axes[0].lines if len(line.get_xdata())]
    assert ("o", "white") in marks  # two of three
    assert "x" in [marker for marker, _ in marks]  # none


def test_weights_on_no_path_have_a_column_and_a_figure(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [{**entry, "effective_density": 0.05} for entry in THREE]
    table = table_of(rows)
    assert (table.headers[4], table.cells[0][4]) == ("effective", "5%")
    assert "effective" not in table_of([{**entry, "effective_density": 0.1} for entry in THREE]).headers
    write_report(rows, tmp_path, Reporter())
    assert (tmp_path / "accuracy_effective.svg").is_file()
    assert accuracy(summarize(rows), [], effective=True).axes[0].lines[0].get_xdata() == [5.0]


def test_the_full_network_lies_where_it_was_trained() -> None:
    """Whatever run's level 0 it was read from."""
    rows = at_lr("0.1", row("snip", 0, 1, 0.9), row("random", 0, 1, 0.9))
    assert [str(line.place) for line in summarize(full_network_once(rows))] == ["runs/train_0.1/replicate_1"]


def test_measured_numbers_have_a_table_and_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    rows = [{**entry, "signs.kept": 0.5 * entry["replicate"]} for entry in ROWS if entry["strategy"] == "snip"]
    table = measurements_table(summarize(full_network_once(rows)), [])
    assert table.headers == ["strategy", "k", "level", "density", "signs.kept"]
    assert [cells[-1] for cells in table.cells] == ["0.75 (-2.427 to 3.927)"] * 2
    assert measurements_table(summarize(ROWS), []).cells == []
    write_report(rows, tmp_path, Reporter())
    found = list(csv.DictReader((tmp_path / "runs.csv").open()))
    assert [one["signs.kept"] for one in found] == ["0.5", "1.0", "0.5", "1.0"]
