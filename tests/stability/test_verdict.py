"""What an analysis found: in JSON and out, and what follows from what was measured."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foundations.errors import UsageError
from foundations.steps import Step
from foundations.store import Store
from stability import AnalysisHparams
from stability.barrier import Subject, judge
from stability.comparison import Measured
from stability.rows import LinePoint, write_rows
from stability.verdict import (
    Barriers,
    Child,
    Distances,
    Interval,
    Treatments,
    Verdict,
    read_verdict,
    stored,
    write_verdict,
)
from tests.stability.verdicts import make_verdict

OLD_RUNS = Path(__file__).parents[1] / "stored_runs" / "format_2"


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    aligned = Barriers(test=Treatments(0.1, 0.05, 0.04, 0.01), train=Treatments(0.0, 0.0, 0.0, 0.0))
    for verdict in (
        make_verdict(),
        make_verdict(level=2),
        make_verdict(error_barrier=aligned, error_barrier_interval=Interval(0.0, 0.1), ensemble_accuracy=0.9),
        make_verdict(analysis=AnalysisHparams(align=True)),
    ):
        write_verdict(Store(tmp_path), verdict)
        assert read_verdict(Store(tmp_path)) == verdict


def test_the_file_has_the_names_that_others_read(tmp_path: Path) -> None:
    write_verdict(Store(tmp_path), make_verdict())
    entries = Store(tmp_path).read_json("instability.json")
    assert list(entries) == [
        "k", "strategy", "density", "threshold", "stable", "learned", "child_error", "child_loss", "error_barrier",
        "loss_barrier", "error_barrier_spread", "loss_barrier_spread", "full_network_accuracy", "child_accuracy",
        "accuracy_gap", "analysis", "examples", "children", "pairs",
    ]  # fmt: skip
    assert entries["error_barrier"] == {
        "test": {"raw": 0.01, "recalculated": 0.01}, "train": {"raw": 0.0, "recalculated": 0.0},
    }  # fmt: skip
    assert entries["pairs"][0]["children"] == [1, 2]
    write_verdict(Store(tmp_path), make_verdict(level=1))
    assert list(Store(tmp_path).read_json("instability.json"))[:4] == ["k", "strategy", "level", "density"]


@pytest.mark.parametrize("path", sorted(OLD_RUNS.rglob("instability.json")), ids=lambda path: path.parent.name)
def test_those_of_older_programs_are_read_and_written_alike(path: Path, tmp_path: Path) -> None:
    old = Store(path.parent)
    write_verdict(Store(tmp_path), read_verdict(old))
    assert Store(tmp_path).read_json("instability.json") == old.read_json("instability.json")


def test_a_setting_that_an_older_file_lacks_is_as_it_was_before(tmp_path: Path) -> None:
    entries = make_verdict().to_dict()
    del entries["analysis"]["batchnorm_examples"]  # as if it had been added since
    Store(tmp_path).write_json("instability.json", entries)
    write_rows(Store(tmp_path), [])
    assert stored(Store(tmp_path), AnalysisHparams()) == make_verdict()
    assert stored(Store(tmp_path), AnalysisHparams(batchnorm_examples=3)) is None


def test_only_a_verdict_at_just_these_settings_is_an_answer(tmp_path: Path) -> None:
    assert stored(Store(tmp_path), AnalysisHparams()) is None
    write_verdict(Store(tmp_path), make_verdict())
    assert stored(Store(tmp_path), AnalysisHparams()) is None  # what it was judged from is lost
    write_rows(Store(tmp_path), [])
    assert stored(Store(tmp_path), AnalysisHparams()) == make_verdict()
    assert stored(Store(tmp_path), AnalysisHparams(threshold=0.5)) is None


def test_one_with_something_missing_is_named(tmp_path: Path) -> None:
    entries = make_verdict().to_dict()
    del entries["error_barrier"]
    Store(tmp_path).write_json("instability.json", entries)
    with pytest.raises(UsageError, match=r"instability.json is damaged .*error_barrier"):
        read_verdict(Store(tmp_path))


def test_in_words() -> None:
    verdict = make_verdict()
    assert verdict.text == "stable"
    assert replace(verdict, stable=False).text == "unstable"
    assert replace(verdict, stable=False, learned=False).text == "unstable (at chance level)"
    assert verdict.test_barrier == 0.01
    ends = (0, 0.1), (0.1, 0.2)
    wide, above = (make_verdict(stable=False, error_barrier_interval=Interval(*both)) for both in ends)
    assert (wide.text, above.text) == ("undecided", "unstable")


# From rows to a verdict --------------------------------------------------------------------------------------------


def line(one: int, other: int, *errors: float, splits: Sequence[str] = ("test", "train")) -> list[LinePoint]:
    """The rows of a line without BatchNorm, with the same errors on all splits; losses are ten times those."""
    return [
        LinePoint(one, other, place / (len(errors) - 1), split, treatment, 100, 0, error=error, loss=10 * error)
        for place, error in enumerate(errors)
        for split in splits
        for treatment in ("raw", "recalculated")
    ]


def test_barriers_are_averaged_over_the_pairs() -> None:
    children = [
        Child(child=number, lr=0.1, weight_decay=0.0, l2_from_start=1.0, angular_from_start=0.1) for number in (1, 2, 3)
    ]
    pairs = [
        Distances(children=pair, l2=1.0, angular=0.1, disagreement=0.0, classification_difference=0.0, layer_l2={})
        for pair in ((1, 2), (1, 3), (2, 3))
    ]
    rows = [*line(1, 2, 0.1, 0.3, 0.1), *line(1, 3, 0.1, 0.3, 0.3), *line(2, 3, 0.1, 0.5, 0.3)]
    settings = AnalysisHparams(children=3, alphas=3, threshold=0.2)
    subject = Subject(Step("1ep"), "snip", 0.1, level=2)
    verdict = judge(subject, Measured(children, pairs, rows), settings, full_network_accuracy=0.9, chance=0.9)
    barriers = [0.3 - 0.1, 0.3 - 0.2, 0.5 - 0.2]
    assert [pair.error_barrier.test.raw for pair in verdict.pairs] == pytest.approx(barriers)
    assert verdict.test_barrier == pytest.approx(0.2)
    assert verdict.error_barrier_deviation.train.recalculated == pytest.approx(0.1)
    assert verdict.loss_barrier.test.raw == pytest.approx(2)
    assert verdict.child_error["test"] == [0.1, 0.1, 0.3]
    assert verdict.accuracy_gap == pytest.approx(0.9 - (1 - 0.5 / 3))
    assert verdict.error_barrier.test.aligned is None
    assert verdict.error_barrier_interval == pytest.approx((0, 0.2 + 0.337), abs=1e-3)  # 2.92 sqrt(4/3) 0.1
    assert (verdict.stable, verdict.text) == (False, "undecided")
    surer = judge(subject, Measured(children, pairs, rows), replace(settings, threshold=0.6), 0.9, chance=0.9)
    assert surer.stable
    assert (verdict.k, verdict.strategy, verdict.level, verdict.learned) == ("1ep0it", "snip", 2, True)
    assert not judge(subject, Measured(children, pairs, rows), settings, 0.9, chance=0.3).learned  # 0.3 is guessing


def test_it_goes_by_the_images_that_are_judged_by() -> None:
    """A barrier of 0.3 on the validation set, of 0 elsewhere; children that err less than by chance on it alone."""
    children = [
        Child(child=number, lr=0.1, weight_decay=0.0, l2_from_start=1.0, angular_from_start=0.1) for number in (1, 2)
    ]
    pair = Distances(children=(1, 2), l2=1.0, angular=0.1, disagreement=0, classification_difference=0, layer_l2={})
    rows = [*line(1, 2, 0.6, 0.6, 0.6), *line(1, 2, 0.1, 0.4, 0.1, splits=["validation"])]

    def verdict(**settings: Any) -> Verdict:
        how = AnalysisHparams(alphas=3, **settings)
        return judge(
            Subject(Step(0), "none", 1.0), Measured(children, [pair], rows), how, full_network_accuracy=0.9, chance=0.5
        )

    by_test, by_validation = verdict(), verdict(judge_by="validation", threshold=0.31)
    assert (by_test.learned, by_test.stable) == (False, False)
    assert (by_validation.learned, by_validation.stable) == (True, True)
    assert not verdict(judge_by="validation").stable
    assert by_validation.summary()["validation_error_barrier_raw"] == pytest.approx(0.3)
    assert Verdict.from_dict(by_validation.to_dict()) == by_validation


def test_the_interval_is_named_by_the_split_that_it_belongs_to() -> None:
    interval, three = Interval(0.2, 0.4), Barriers(*[Treatments(0.3, 0.3)] * 3)
    names = ("error_barrier", "loss_barrier", "error_barrier_deviation", "loss_barrier_deviation")
    verdict = make_verdict(error_barrier_interval=interval, **dict.fromkeys(names, three))
    row = verdict.summary()
    assert (row["test_error_barrier_low"], row["test_error_barrier_high"]) == interval
    row = replace(verdict, analysis=AnalysisHparams(judge_by="validation")).summary()
    assert (row["validation_error_barrier_low"], row["validation_error_barrier_high"]) == interval
    assert "test_error_barrier_low" not in row
