"""What is printed of instability analyses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.report.stability import stability_table, what_is_stable
from experiments.report.tables import Table
from experiments.runs.rows import numbers_of_verdict
from foundations.steps import Step
from stability import AnalysisHparams, StabilityDesc
from stability.verdict import Barriers, Interval, Treatments
from tests.stability.verdicts import barriers, make_verdict


def analysed(desc: StabilityDesc, k: int, replicate: int, barrier: float, **verdict: Any) -> dict[str, Any]:
    """The row of an analysis, as ``result_rows`` has it."""
    found = make_verdict(**{"k": Step(k), "error_barrier": barriers(barrier), "stable": barrier < 0.02, **verdict})
    path = Path(desc.key) / f"replicate_{replicate}" / f"k_{k}"
    about = {"key": desc.key, "k": Step(k).short, "replicate": replicate, "path": path, "state": "done"}
    return {**numbers_of_verdict(found), **about}


def table_of(rows: list[dict[str, Any]], *descs: StabilityDesc) -> tuple[Table, list[str]]:
    return stability_table(rows, {desc.key: (desc.strategy_name, desc) for desc in descs})


def test_replicates_stand_together_in_order_of_k(full: StabilityDesc) -> None:
    found = [analysed(full, k, replicate, barrier) for k, replicate, barrier in (
        (10, 1, 0.01), (10, 2, 0.01), (2, 1, 0.03), (2, 2, 0.01),
    )]  # fmt: skip
    table, smallest = table_of([*found, found[0]], full)  # one of them asked for twice
    assert [line[:3] for line in table.cells] == [
        ["none", "2ep", "2.00% +- 1.41"], ["none", "10ep", "1.00% +- 0.00"],
    ]  # fmt: skip
    assert [line[-2:] for line in table.cells] == [["+5.00 points", "stable in 1 of 2"], ["+5.00 points", "stable"]]
    assert smallest == [
        "none: the smallest k found stable in all replicates is 10ep (threshold 2.00%; one test image: 10 points)"
    ]


def test_networks_have_lines_and_names_of_their_own(full: StabilityDesc) -> None:
    slower = replace(full, train=replace(full.train, training=replace(full.train.training, lr=0.01)))
    table, smallest = table_of([analysed(full, 1, 1, 0.5), analysed(slower, 1, 1, 0.0)], full, slower)
    assert [line[0] for line in table.cells] == ["none, lr = 0.1", "none, lr = 0.01"]
    assert [line.partition(" (")[0] for line in smallest] == [
        "none, lr = 0.1: no k was found stable", "none, lr = 0.01: the smallest k found stable is 1ep",
    ]  # fmt: skip


def groups_of(desc: StabilityDesc, *by_k: tuple[int, str]) -> list[list[dict[str, Any]]]:
    """For each k a letter for every replicate: stable, unstable, diverged before it came to a verdict."""
    barriers = {"s": 0.0, "u": 0.5}
    return [
        [
            {**{name: analysed(desc, k, replicate, 0.0)[name] for name in ("key", "k", "path")}, "state": "diverged"}
            if letter == "d" else analysed(desc, k, replicate, barriers[letter])
            for replicate, letter in enumerate(letters)
        ]
        for k, letters in by_k
    ]  # fmt: skip


def test_a_k_is_stable_if_it_is_in_all_replicates(full: StabilityDesc) -> None:
    def said(*by_k: tuple[int, str]) -> str:
        return what_is_stable(groups_of(full, *by_k))[0].partition(" (")[0]

    assert said((0, "u"), (1, "s")) == "the smallest k found stable is 1ep"
    assert said((0, "us"), (1, "s"), (2, "ss")) == "the smallest k found stable in all replicates is 2ep"
    assert said((0, "us"), (1, "s")) == "no k was found stable in all replicates"
    assert said((0, "sd"), (1, "ss")) == "the smallest k found stable in all replicates is 1ep"


def test_a_curve_that_is_not_monotone_has_no_smallest_stable_k(full: StabilityDesc) -> None:
    [sentence] = what_is_stable(groups_of(full, (0, "u"), (1, "s"), (2, "u"), (4, "s")))
    assert sentence.startswith("not monotone: found stable at 1ep, 4ep, but not at 2ep")


def test_stable_ends_far_below_the_full_network_are_warned_of(full: StabilityDesc) -> None:
    one, poor = analysed(full, 1, 1, 0.0), analysed(full, 1, 1, 0.0, stable=True, accuracy_gap=0.0725)
    assert what_is_stable([[poor]])[1] == "warning: the ends from 1ep lie 7.2 points below the full network"
    assert len(what_is_stable([[one]])) == 1


def test_replicates_are_stable_if_the_interval_of_their_mean_is_below_the_threshold(full: StabilityDesc) -> None:
    """0.1 and 0.3%: 0.2 +- 6.31 x 0.1. Of 0.1 and 1.9% the mean is below 2%, too, but it may well be above."""
    sure, unsure = ([analysed(full, 1, number, barrier) for number, barrier in enumerate(some)]
                    for some in ((0.001, 0.003), (0.001, 0.019)))  # fmt: skip
    table, sentences = table_of(sure, full)
    assert table.headers[:4] == ["strategy", "k", "test barrier raw", "90% interval"]
    assert table.cells[0][3] == "0.00 to 0.83%"
    assert sentences[0].startswith("none: the smallest k found stable in all replicates is 1ep")
    table, sentences = table_of(unsure, full)
    assert table.cells[0][3] == "0.00 to 6.68%"
    why = "from 1ep each is, but the interval of their mean holds the threshold"
    assert sentences[0].startswith(f"none: no k was found stable in all replicates; {why} (")


def test_columns_that_were_not_measured_are_left_out(full: StabilityDesc) -> None:
    table, _ = table_of([analysed(full, 1, 1, 0.01)], full)
    assert table.headers == [
        "strategy", "k", "test barrier raw", "recalculated", "train barrier raw", "end accuracy", "gap to full",
        "verdict",
    ]  # fmt: skip
    aligned = Barriers(test=Treatments(0.1, 0.05, 0.04, 0.01), train=Treatments(0, 0, 0, 0))
    found = {"error_barrier": aligned, "error_barrier_interval": Interval(0.05, 0.15), "stable": False}
    found["analysis"] = AnalysisHparams(align=True)
    table, _ = table_of([analysed(full, 1, 1, 0.01, **found)], full)
    assert table.cells == [[
        "none", "1ep", "10.00%", "5.00 to 15.00%", "5.00%", "4.00%", "1.00%", "0.00%", "85.00%", "+5.00 points",
        "unstable",
    ]]  # fmt: skip


def test_what_came_to_no_verdict_is_counted(full: StabilityDesc) -> None:
    rows = [row for group in groups_of(full, (1, "sud"), (2, "dd")) for row in group]
    table, sentences = table_of(rows, full)
    assert [cells[-1] for cells in table.cells] == ["stable in 1 of 2", "-"]
    assert table.notes == ["none, k = 1ep: 2 of 3; 1 diverged", "none, k = 2ep: 0 of 2; 2 diverged"]
    assert sentences[0].startswith("none: no k was found stable in all replicates")
