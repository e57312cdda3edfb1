import csv
from pathlib import Path
from typing import Any

import pytest
from lottery.report import FULL, Line, directory_for, full_network_once, summarize, write_report

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


def test_a_line_has_mean_and_standard_deviation_of_its_replicates() -> None:
    line = Line(
        "snip", "4ep", 1, 0.1, (0.6, 0.8), (Path("runs/a/replicate_1/level_1"), Path("runs/a/replicate_2/level_1"))
    )
    assert line.mean == pytest.approx(0.7)
    assert line.spread == pytest.approx(0.1 * 2**0.5)  # deviations of 0.1 each, over n - 1 = 1
    assert line.place == Path("runs/a")


def test_the_full_network_that_strategies_share_counts_once() -> None:
    lines = summarize(full_network_once(ROWS))
    assert [(line.strategy, line.level, line.values) for line in lines] == [
        (FULL, 0, (0.9, 0.8)), ("snip", 1, (0.6, 0.8)), ("random", 1, (0.3, 0.3)),
    ]  # fmt: skip


def test_densities_are_lines_of_their_own() -> None:
    lines = summarize([row("snip", 1, 1, 0.6), row("snip", 1, 1, 0.5, density=0.05)])
    assert [line.density for line in lines] == [0.1, 0.05]


def test_the_same_runs_have_the_same_place_wherever_the_root_is() -> None:
    moved = [{**entry, "path": Path("elsewhere") / entry["path"]} for entry in ROWS]
    place = directory_for(ROWS, Path("runs"))
    assert directory_for(moved, Path("elsewhere/runs")).name == place.name
    assert directory_for(ROWS[:4], Path("runs")) != place


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
