from pathlib import Path

from experiments.report.tables import directory_for

RUNS = [Path(f"runs/lottery_{letter}/replicate_{replicate}") for letter in "ab" for replicate in (1, 2)]


def test_the_same_runs_have_the_same_place_in_any_order_and_wherever_the_root_is() -> None:
    place = directory_for("lottery", RUNS, Path("runs"))
    assert place.parent == Path("runs/report")
    assert place.name.startswith("lottery_")
    assert directory_for("lottery", [*RUNS[::-1], RUNS[0]], Path("runs")) == place
    moved = [Path("elsewhere") / run for run in RUNS]
    assert directory_for("lottery", moved, Path("elsewhere/runs")).name == place.name
    assert directory_for("lottery", RUNS[:3], Path("runs")) != place


def test_a_single_run_has_its_report_within_where_that_is_wanted() -> None:
    assert directory_for("stability", RUNS[:1], Path("runs"), alone="report/stability") == RUNS[0] / "report/stability"
    assert directory_for("lottery", RUNS[:1], Path("runs")).parent == Path("runs/report")
    assert directory_for("stability", RUNS, Path("runs"), alone="report").parent == Path("runs/report")
