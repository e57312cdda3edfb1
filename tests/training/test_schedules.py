"""Learning rates worked by hand."""

import math

import pytest

from foundations.errors import UsageError
from foundations.hparams import canonical
from foundations.steps import Step
from training.hparams import TrainingHparams
from training.schedules import learning_rate, schedules


def test_drops_by_hand() -> None:
    """10 iterations an epoch; warm-up over 5, drops to a fifth at 2 epochs and at 35 iterations."""
    hparams = TrainingHparams(
        lr=1.0, warmup_steps=Step("5it"), milestone_steps=(Step("2ep"), Step("3ep5it")), gamma=0.2
    )
    expected = {0: 0, 1: 0.2, 4: 0.8, 5: 1, 19: 1, 20: 0.2, 34: 0.2, 35: 0.04, 1000: 0.04}
    assert {it: learning_rate(hparams, it, 10) for it in expected} == pytest.approx(expected)


def test_without_warm_up_and_milestones_the_learning_rate_stands_still() -> None:
    assert {learning_rate(TrainingHparams(lr=0.3), iteration, 10) for iteration in range(50)} == {0.3}


@pytest.mark.parametrize(
    ("schedule", "middle"),
    [("cosine", {10: (1 + math.cos(math.pi / 4)) / 2, 15: 0.5, 20: (1 - math.cos(math.pi / 4)) / 2}),
     ("linear", {10: 0.75, 15: 0.5, 20: 0.25})],
)  # fmt: skip
def test_falling_to_zero_by_hand(schedule: str, middle: dict[int, float]) -> None:
    """10 iterations an epoch, 25 in all; after a warm-up over 5 there are 20 on which the rate falls from 2 to 0."""
    hparams = TrainingHparams(lr=2.0, lr_schedule=schedule, warmup_steps=Step("5it"), training_steps=Step("2ep5it"))
    expected = {0: 0, 1: 0.2, 5: 1, **middle, 25: 0, 1000: 0}
    found = {iteration: learning_rate(hparams, iteration, 10) / 2 for iteration in expected}
    assert found == pytest.approx(expected, abs=1e-12)
    rates = [learning_rate(hparams, iteration, 10) for iteration in range(5, 26)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_warm_up_as_long_as_the_training_leaves_nothing_to_fall(schedule: str) -> None:
    hparams = TrainingHparams(lr=1.0, lr_schedule=schedule, warmup_steps=Step("2ep"), training_steps=Step("2ep"))
    assert [learning_rate(hparams, iteration, 10) for iteration in (0, 10, 20)] == [0, 0.5, 1]


def test_the_schedule_is_in_the_key_unless_it_is_that_of_before() -> None:
    assert "lr_schedule" not in canonical(TrainingHparams())
    assert canonical(TrainingHparams(lr_schedule="cosine"))["lr_schedule"] == "cosine"


def test_a_schedule_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schedules._entries, "halving", lambda hparams, iteration, per_epoch: 0.5**iteration)
    hparams = TrainingHparams(lr=1.0, lr_schedule="halving")
    assert [learning_rate(hparams, iteration, 10) for iteration in range(3)] == [1, 0.5, 0.25]
    with pytest.raises(UsageError, match=r"--lr_schedule=having: expected .* \(did you mean 'halving'\?\)"):
        TrainingHparams(lr_schedule="having")
