"""Checks: claims by hand, the protocols that are shipped, and one of a second on the command line."""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from experiments.checks import Check, Claim, Protocol, Run, checks, outcomes, planned, with_dataset
from experiments.checks.check import SIZES, Outcome, error, minus, percent
from experiments.checks.mnist import FILE
from experiments.session import Session
from foundations.errors import UsageError
from foundations.reporting import Reporter

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("side", "fulfilled"),
    [("within", {8.9: False, 9.0: True, 11.0: True, 11.1: False}),
     ("at least", {8.9: False, 9.0: True, 99.0: True}),
     ("at most", {-99.0: True, 11.0: True, 11.1: False})],
)  # fmt: skip
def test_a_claim_holds_within_its_tolerance_on_its_side(side: Any, fulfilled: dict[float, bool]) -> None:
    claim = Claim("", lambda rows: {}, theirs=10.0, tolerance=1.0, side=side)
    assert {ours: claim.holds([ours - 1, ours + 1]) for ours in fulfilled} == fulfilled


def test_what_is_zero_if_two_networks_are_one_must_be_more_in_every_replicate() -> None:
    claim = Claim("", lambda rows: {}, theirs=0.0, tolerance=0.0, side="above")
    assert [claim.holds(values) for values in ([0.1, 0.2], [0.0, 9.0], [0.0], [])] == [True, False, False, False]


def test_measures_by_hand() -> None:
    rows = {
        "one": [
            {"replicate": 1, "level": 1, "density": 0.0501, "test_accuracy": 0.9},
            {"replicate": 2, "level": 1, "density": 0.0499, "test_accuracy": 0.8},
            {"replicate": 1, "level": 0, "density": 1.0, "test_accuracy": 0.95},
        ],
        "other": [{"replicate": 1, "level": 1, "density": 0.02, "test_accuracy": 0.7}],
    }
    accuracy = percent("one", "test_accuracy", level=1, density=0.05)
    assert accuracy(rows) == pytest.approx({1: 90, 2: 80})
    assert error(accuracy)(rows) == pytest.approx({1: 10, 2: 20})
    assert minus(accuracy, percent("other", "test_accuracy"))(rows) == pytest.approx({1: 20})
    assert percent("one", "early_stopping_test_accuracy", level=1)(rows) == {}


def test_an_outcome_by_hand() -> None:
    claim = Claim("accuracy", lambda rows: {}, theirs=91.0, tolerance=1.5)
    found = Outcome(claim, [90.0, 92.0, 94.0])
    assert (found.ours, found.deviation, found.difference, found.holds) == (92.0, 2.0, 1.0, True)
    assert Outcome(claim, [93.0]).deviation is None
    assert not Outcome(claim, [93.0]).holds
    lost = Outcome(claim, [])
    assert (lost.ours, lost.difference, lost.holds) == (None, None, False)


# Those that are shipped --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "dataset"),
    [(name, size, dataset) for name in checks for size in SIZES for dataset in checks.get(name).datasets],
)
def test_a_shipped_check_can_be_planned_and_judges_its_own_runs(name: str, size: str, dataset: str) -> None:
    protocol = checks.get(name)().protocol(size, dataset)
    grid = planned(protocol, Session("nowhere", reporter=Reporter(), evaluate_every=protocol.evaluate_every))
    assert grid.experiments
    assert protocol.source
    for claim in protocol.claims:
        assert claim.measure({run: [] for run in protocol.runs}) == {}
    assert len({claim.what for claim in protocol.claims}) == len(protocol.claims) > 0


def test_mnist1d_is_made_where_it_is_wanted_and_disturbs_no_generator(tmp_path: Path) -> None:
    pytest.importorskip("mnist1d")
    check = checks.get("mnist1d_lottery")()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert with_dataset(check, None, tmp_path / "data") == f"arrays:{FILE}"
    drawn = random.random(), np.random.rand()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert drawn == (random.random(), np.random.rand())  # noqa: NPY002
    with np.load(tmp_path / "data" / FILE) as arrays:
        assert (arrays["x_train"].shape, arrays["x_test"].shape) == ((4000, 40), (1000, 40))


# Broken methods fail -----------------------------------------------------------------------------------------------


def verdicts(name: str, size: str, rows: Mapping[str, list[dict[str, Any]]], dataset: str = "mnist") -> dict[str, bool]:
    """Whether each claim of a check holds of some rows, which stand for what its runs have given."""
    claims = checks.get(name)().protocol(size, dataset).claims
    return {claim.what: claim.holds(claim.measure(rows).values()) for claim in claims}


@pytest.mark.parametrize(
    ("name", "size", "dataset"),
    [(name, size, dataset) for name in checks for size in SIZES for dataset in checks.get(name).datasets],
)
def test_no_difference_that_is_claimed_may_be_none(name: str, size: str, dataset: str) -> None:
    for claim in checks.get(name)().protocol(size, dataset).claims:
        if any(word in claim.what for word in (" minus ", "apart", "distance", "disagreement")):
            assert not claim.holds([0.0, 0.0, 0.0]), claim.what


def renda_rows(**accuracy: float) -> dict[str, list[dict[str, Any]]]:
    return {
        way: [{"replicate": 1, "level": 3, "test_accuracy": value, "test_loss": 1 - value}]
        for way, value in accuracy.items()
    }


def test_a_way_to_retrain_without_effect_fails() -> None:
    theirs, same = renda_rows(rewind_weights=0.705, rewind_lr=0.709, finetune=0.7), renda_rows(
        rewind_weights=0.7, rewind_lr=0.7, finetune=0.7
    )
    assert all(verdicts("renda_resnet20", "small", theirs, "cifar10").values())
    assert not any(verdicts("renda_resnet20", "small", same, "cifar10").values())


def imp_rows(tickets: Mapping[int, float], reinitialized: Mapping[int, float]) -> dict[str, list[dict[str, Any]]]:
    runs = {"imp": tickets, "reinitialized": reinitialized}
    return {
        run: [{"replicate": 1, "level": level, "early_stopping_test_accuracy": value} for level, value in found.items()]
        for run, found in runs.items()
    }


def test_tickets_that_are_as_good_as_reinitialized_ones_or_as_the_full_network_fail() -> None:
    theirs = {0: 0.9805, 7: 0.9833, 15: 0.9816, 20: 0.9698}
    assert all(verdicts("lenet_imp", "full", imp_rows(theirs, {7: 0.9795, 15: 0.9709})).values())
    same = verdicts("lenet_imp", "full", imp_rows(theirs, theirs))
    assert {what for what, holds in same.items() if not holds} == {
        "21.1% kept minus reinitialized (points)", "3.58% kept minus reinitialized (points)",
    }  # fmt: skip
    unpruned = verdicts("lenet_imp", "full", imp_rows({**theirs, 7: 0.9805}, {7: 0.9766, 15: 0.9709}))
    assert [what for what, holds in unpruned.items() if not holds] == ["21.1% kept minus full network (points)"]


@pytest.mark.parametrize(
    ("name", "size", "dataset", "run"),
    [("lmc_lenet", "small", "mnist", "stability"), ("lmc_lenet", "full", "mnist", "stability"),
     ("lmc_resnet20", "full", "cifar10", "k = 2000it")],
)  # fmt: skip
def test_children_that_are_one_or_have_learned_nothing_are_not_stable(
    name: str, size: str, dataset: str, run: str
) -> None:
    good = {"replicate": 1, "test_error_barrier_raw": 0.002, "l2": 30.0, "disagreement": 0.02, "child_accuracy": 0.98}
    early = {"k = 0": [{**good, "test_error_barrier_raw": 0.8}]}
    assert all(verdicts(name, size, {run: [good], **early}, dataset).values())
    one = {**good, "test_error_barrier_raw": 0.0, "l2": 0.0, "disagreement": 0.0}
    assert sum(not holds for holds in verdicts(name, size, {run: [one], **early}, dataset).values()) == 2
    chance = {**good, "test_error_barrier_raw": 0.0, "child_accuracy": 0.1}
    assert sum(not holds for holds in verdicts(name, size, {run: [chance], **early}, dataset).values()) == 1


# On the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def quick() -> None:
    """A check of a second."""

    @checks.register("quick")
    class Quick(Check):
        """A small network learns something."""

        datasets: ClassVar[tuple[str, ...]] = ("digits",)
        theirs: ClassVar[float] = 90.0

        def protocol(self, size: str, dataset: str) -> Protocol:
            flags = {
                "model": "mnist_lenet_8", "dataset": dataset, "training_steps": "1ep", "replicate": [1, 2],
                "subsample_fraction": 0.2, "k": 0, "pruning_strategy": "random", "levels": [(0, 1)],
            }  # fmt: skip
            return Protocol(
                runs={"random": Run("lottery", flags)},
                claims=[
                    Claim("full network, accuracy (%)", percent("random", "test_accuracy", level=0), 100.0, 100.0),
                    Claim("pruned, accuracy (%)", percent("random", "test_accuracy", level=1), self.theirs, 100.0),
                ],
                source="nobody",
            )


@pytest.mark.usefixtures("quick")
def test_theirs_and_ours_stand_side_by_side_and_again_nothing_is_trained(
    command: Command, tmp_path: Path, steps_taken: list[int]
) -> None:
    flags = ("--threads=1", f"--root={tmp_path}/runs", "--quiet")
    dry = command("check", "quick", "--dry_run", *flags)
    assert (dry.code, "optimizer steps left" in dry.out, steps_taken) == (0, True, [])
    first = command("check", "quick", *flags)
    assert first.code == 0
    fewer = command("check", "quick", "--json", "--replicates=1", *flags)
    assert [claim["replicates"] for claim in json.loads(fewer.out)["claims"]] == [1, 1]
    assert first.out.splitlines()[0] == "quick, size small, digits. Theirs: nobody"
    assert [line.split()[-1] for line in first.out.splitlines()[2:]] == ["pass", "pass"]
    steps_taken.clear()
    again = command("check", "quick", "--json", *flags)
    assert steps_taken == []
    claims = json.loads(again.out)["claims"]
    assert [claim["replicates"] for claim in claims] == [2, 2]
    session = Session(tmp_path / "runs", reporter=Reporter())
    assert [one.ours for one in outcomes(checks.get("quick")().protocol("small", "digits"), session)] == [
        claim["ours"] for claim in claims
    ]


@pytest.mark.usefixtures("quick")
def test_a_claim_that_does_not_hold_ends_with_1(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks.get("quick"), "theirs", 250.0)
    outcome = command("check", "quick", "--threads=1", f"--root={tmp_path}/runs", "--quiet")
    assert outcome.code == 1
    assert [line.split()[-1] for line in outcome.out.splitlines()[2:]] == ["pass", "fail"]


def test_without_a_name_all_are_listed(command: Command) -> None:
    outcome = command("check")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.out.splitlines()] == checks.names()


@pytest.mark.parametrize(
    ("argv", "said"),
    [(("lenet_inp",), "Unknown check 'lenet_inp' (did you mean 'lenet_imp'?)"),
     (("lenet_imp", "snip_lenet"), "lenet_imp snip_lenet: one check at a time"),
     (("lenet_imp", "--dataset=mnits"), "--dataset=mnits: not of this check (did you mean 'mnist'?)"),
     (("lenet_imp", "--size=tiny"), "--size=tiny"),
     (("lmc_resnet20",), "has none of cifar10")],
)  # fmt: skip
def test_bad_input_is_named_and_nothing_is_written(
    command: Command, tmp_path: Path, argv: tuple[str, ...], said: str
) -> None:
    outcome = command("check", *argv, f"--root={tmp_path}/runs", f"--data_dir={tmp_path}/data")
    assert outcome.code == 2
    assert said in outcome.err
    assert not list(tmp_path.iterdir())


def test_a_data_set_that_is_not_the_checks_own_is_refused() -> None:
    with pytest.raises(UsageError, match="valid: cifar10"):
        with_dataset(checks.get("lmc_resnet20")(), "digits", Path("unused"))
