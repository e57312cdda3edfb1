"""What was measured, in tables, files and figures."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.report.figures.numbers import against_density, against_each_other
from experiments.report.numbers import Mean, mean_of, measured_numbers, numbers_csv, numbers_table
from experiments.report.replicates import Replicates, summarize
from foundations.formats import Row

TWO = {"signs.changed": (0.1, 0.3), "signs.changed.fc.weight": (0.5, 0.5)}


def row(replicate: int, **more: Any) -> Row:
    about = {"strategy": "synflow", "k": "0ep", "level": 1, "density": 0.5, "path": Path("run"), "test_accuracy": 0.9}
    return {**about, "replicate": replicate, **more}


def test_a_number_is_what_has_a_dot_in_its_name() -> None:
    rows = [row(1, **{"signs.changed": 0.1}), row(2, **{"signs.changed": 0.3}), row(3, **{"signs.changed": None})]
    assert measured_numbers(rows) == {"signs.changed": (0.1, 0.3)}
    [line] = summarize(rows)
    assert line.measured == {"signs.changed": (0.1, 0.3)}


def test_the_interval_is_students() -> None:
    """t of one degree of freedom is 12.706 at 95%, the standard error of 0.1 and 0.3 is 0.1."""
    mean = mean_of(TWO["signs.changed"])
    assert mean is not None
    assert (mean.value, mean.half) == pytest.approx((0.2, 1.2706), rel=1e-4)
    assert str(mean) == "0.2 (-1.071 to 1.471)"
    assert str(mean_of([0.25])) == "0.25"
    assert mean_of([]) is None
    assert mean_of([2.0, 2.0]) == Mean(2.0)


def test_numbers_of_layers_are_left_out_of_tables() -> None:
    table = numbers_table({"network": ["a", "b"]}, [TWO, {}])
    assert table.headers == ["network", "signs.changed"]
    assert table.cells == [["a", "0.2 (-1.071 to 1.471)"], ["b", "-"]]
    assert numbers_table({"network": ["a"]}, [{}]).cells == []
    columns, cells = numbers_csv([TWO, {}])
    assert columns == ["mean_signs.changed", "low_signs.changed", "high_signs.changed"]
    assert cells == [pytest.approx([0.2, -1.0706, 1.4706], rel=1e-3), [None, None, None]]


def line(strategy: str, density: float, **measured: tuple[float, ...]) -> Replicates:
    named = {name.replace("_", "."): values for name, values in measured.items()}
    return Replicates(strategy, "0ep", 1, density, (0.9, 0.8), (Path("a"),), measured=named)


def test_figures_have_a_panel_for_each_number_and_pair() -> None:
    lines = [
        line(name, density, a_x=(density, 1.0), b_y=(2.0, 3.0))
        for name in ("synflow", "snip")
        for density in (0.5, 0.1)
    ]
    density, pairs = against_density(lines, []), against_each_other(lines, [])
    assert [axes.get_ylabel() for axes in density.axes if axes.get_visible()] == ["a.x", "b.y"]
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in pairs.axes if axes.get_visible()] == [
        ("a.x", "test accuracy (%)"), ("b.y", "test accuracy (%)"), ("b.y", "a.x"),
    ]  # fmt: skip


def test_more_numbers_than_panels_are_counted() -> None:
    many = {f"a_{letter}": (1.0,) for letter in "bcdefghijklmnop"}
    figure = against_density([line("snip", 0.5, **many), line("snip", 0.1, **many)], [])
    assert len(figure.axes) == 12
    assert figure.get_suptitle() == "the first 12 of 15"


def test_a_command_shows_them_and_writes_them(command: Callable[..., Any], tmp_path: Path) -> None:
    flags = ("--dataset=digits", "--model=mnist_lenet_4", "--training_steps=1ep", "--threads=1", f"--root={tmp_path}")
    prune = ("--k=0", "--pruning_strategy=random", "--replicate=1,2", "--measure=signs")
    out = command("lottery", *flags, *prune).out
    assert re.search(r"density  signs\.changed\nrandom +0ep +1 +10% +[\d.]+ \(-?[\d.]+ to [\d.]+\)", out)
    [report] = (tmp_path / "report").iterdir()
    [shown] = csv.DictReader((report / "table.csv").open())
    rows = list(csv.DictReader((report / "runs.csv").open()))
    values = [float(row["signs.changed"]) for row in rows]
    assert float(shown["mean_signs.changed"]) == pytest.approx(sum(values) / 2)
    assert {"signs.changed.fc1.weight", "signs.changed.fc.weight"} <= rows[0].keys()
    assert {"measurements.svg", "measurements_pairs.svg"} <= {path.name for path in report.iterdir()}
    assert "distance.l2" in command("train", *flags, "--measure=distance").out
    branch = command("lottery_branch", "shuffle", *flags, *prune).out
    assert "signs.changed" in branch
    stability = ("stability", *flags, "--k=0", "--pruning_strategy=none", "--alphas=2", "--measure=cka")
    assert "cka.mean" in command(*stability).out
    assert command("report", f"--root={tmp_path}", f"--output={tmp_path / 'page.html'}").code == 0
    page = (tmp_path / "page.html").read_text()
    assert all(text in page for text in ("Measurements", "signs.changed", "distance.l2", "cka.mean"))
    files = {path.name for path in (tmp_path / "page_files").iterdir()}
    assert {"measurements.svg", "measurements_pairs.svg", "stability_measurements.svg"} <= files
