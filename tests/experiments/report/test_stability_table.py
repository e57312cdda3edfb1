"""What is printed of instability analyses."""

from dataclasses import replace
from pathlib import Path

from experiments.report.stability import Analysed, smallest_stable, stability_table
from foundations.steps import Step
from stability import StabilityDesc
from stability.verdict import Verdict
from tests.stability.verdicts import barriers, make_verdict


def analysed(desc: StabilityDesc, k: int, replicate: int, barrier: float) -> Analysed:
    verdict = make_verdict(k=Step(k), error_barrier=barriers(barrier), stable=barrier < 0.02)
    return Analysed(desc, 10 * k, Path(desc.key) / f"replicate_{replicate}" / f"k_{k}", verdict)


def test_replicates_stand_together_in_order_of_k(full: StabilityDesc) -> None:
    found = [analysed(full, k, replicate, barrier) for k, replicate, barrier in (
        (10, 1, 0.01), (10, 2, 0.01), (2, 1, 0.03), (2, 2, 0.01),
    )]  # fmt: skip
    table, smallest = stability_table([*found, found[0]])  # one of them asked for twice
    assert [line[:3] for line in table.cells] == [
        ["none", "2ep", "2.00% +- 1.41"], ["none", "10ep", "1.00% +- 0.00"],
    ]  # fmt: skip
    assert [line[-2:] for line in table.cells] == [["+5.00 points", "stable in 1 of 2"], ["+5.00 points", "stable"]]
    assert smallest == ["none: the smallest k found stable in all replicates is 10ep (threshold 2.00%)"]


def test_networks_have_lines_and_names_of_their_own(full: StabilityDesc) -> None:
    slower = replace(full, train=replace(full.train, training=replace(full.train.training, lr=0.01)))
    table, smallest = stability_table([analysed(full, 1, 1, 0.5), analysed(slower, 1, 1, 0.0)])
    assert [line[0] for line in table.cells] == ["none, lr = 0.1", "none, lr = 0.01"]
    assert [line.partition(" (")[0] for line in smallest] == [
        "none, lr = 0.1: no k was found stable", "none, lr = 0.01: the smallest k found stable is 1ep",
    ]  # fmt: skip


def test_a_k_is_stable_if_it_is_in_all_replicates() -> None:
    def at(k: int, *stable: bool) -> list[Verdict]:
        return [make_verdict(k=Step(k), stable=one) for one in stable]

    assert smallest_stable([at(0, False), at(1, True)]) == "the smallest k found stable is 1ep"
    groups = [at(0, False, True), at(1, True), at(2, True, True)]
    assert smallest_stable(groups) == "the smallest k found stable in all replicates is 2ep"
    assert smallest_stable(groups[:2]) == "no k was found stable in all replicates"
