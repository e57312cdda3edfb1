"""Learning rates worked by hand."""

import math
import warnings

import pytest
import torch
from torch import optim

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


def rates_of(scheduler: optim.lr_scheduler.LRScheduler, steps: int) -> list[float]:
    """The learning rate of each of so many steps."""
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.param_groups[0]["lr"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no optimizer step is taken
            scheduler.step()
    return found


@pytest.mark.parametrize("steps", [10, 25, 160])
def test_they_are_pytorchs_own(steps: int) -> None:
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
    expected = {"cosine": rates_of(optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps), steps)}
    cycle = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.4, total_steps=steps, cycle_momentum=False)
    expected["one_cycle"] = rates_of(cycle, steps - 1)
    for name, rates in expected.items():
        hparams = TrainingHparams(lr=0.4, lr_schedule=name, training_steps=Step(f"{steps}it"))
        assert [learning_rate(hparams, iteration, 10) for iteration in range(len(rates))] == pytest.approx(rates)


def test_one_cycle_by_hand() -> None:
    """10 steps after a warm-up over 5: up from 1/25 in steps 0 to 2, down to 1/250,000 in steps 2 to 9."""
    hparams = TrainingHparams(
        lr=1.0, lr_schedule="one_cycle", warmup_steps=Step("5it"), training_steps=Step("15it")
    )  # fmt: skip
    found = {iteration: learning_rate(hparams, iteration, 10) for iteration in (0, 5, 6, 7, 14, 15, 99)}
    low, end = 1 / 25, 1 / 250_000
    assert found == pytest.approx({0: 0, 5: low, 6: (1 + low) / 2, 7: 1, 14: end, 15: end, 99: end})


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_of_few_steps_only_falls(steps: int) -> None:
    hparams = TrainingHparams(lr=1.0, lr_schedule="one_cycle", training_steps=Step(f"{steps}it"))
    rates = [learning_rate(hparams, iteration, 10) for iteration in range(steps)]
    assert rates[0] == 1
    assert rates == sorted(rates, reverse=True)


def test_the_schedule_is_in_the_key_unless_it_is_that_of_before() -> None:
    assert "lr_schedule" not in canonical(TrainingHparams())
    assert canonical(TrainingHparams(lr_schedule="cosine"))["lr_schedule"] == "cosine"


def test_a_schedule_of_ones_own() -> None:
    schedules.register("halving")(lambda hparams, iteration, per_epoch: 0.5**iteration)
    hparams = TrainingHparams(lr=1.0, lr_schedule="halving")
    assert [learning_rate(hparams, iteration, 10) for iteration in range(3)] == [1, 0.5, 0.25]
    with pytest.raises(UsageError, match=r"--lr_schedule=having: expected .* \(did you mean 'halving'\?\)"):
        TrainingHparams(lr_schedule="having")
