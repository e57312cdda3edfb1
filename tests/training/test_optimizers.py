"""Steps and schedules worked by hand."""

import pytest
import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from foundations.steps import Step
from training.hparams import TrainingHparams
from training.optimizers import learning_rate, make_optimizer


def test_the_learning_rate_by_hand() -> None:
    """10 iterations an epoch; warm-up over 5, drops to a fifth at 2 epochs and at 35 iterations."""
    hparams = TrainingHparams(
        lr=1.0, warmup_steps=Step("5it"), milestone_steps=(Step("2ep"), Step("3ep5it")), gamma=0.2
    )
    expected = {0: 0, 1: 0.2, 4: 0.8, 5: 1, 19: 1, 20: 0.2, 34: 0.2, 35: 0.04, 1000: 0.04}
    assert {it: learning_rate(hparams, it, 10) for it in expected} == pytest.approx(expected)


def test_without_warm_up_and_milestones_the_learning_rate_stands_still() -> None:
    assert {learning_rate(TrainingHparams(lr=0.3), iteration, 10) for iteration in range(50)} == {0.3}


class OneWeight(nn.Module):
    """Its loss 2 * w has the gradient 2 everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0]))

    def forward(self) -> Tensor:
        return 2 * self.w.sum()


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        # lr 0.1, weight decay 0.5, momentum 0.5. Gradient with decay at w = 1: 2 + 0.5 = 2.5.
        ("sgd", [1 - 0.1 * 2.5, 0.75 - 0.1 * 2.375]),
        ("momentum", [0.75, 0.75 - 0.1 * (0.5 * 2.5 + 2.375)]),
        ("nesterov", [1 - 0.1 * (2.5 + 0.5 * 2.5)]),
        ("adam", [1 - 0.1]),  # the first step of Adam is lr, whatever the gradient
        ("adamw", [1 * (1 - 0.1 * 0.5) - 0.1]),  # decay by lr * 0.5 of w, decoupled
    ],
)
def test_steps_by_hand(optimizer: str, expected: list[float]) -> None:
    model = OneWeight()
    steps = make_optimizer(TrainingHparams(optimizer=optimizer, lr=0.1, momentum=0.5, weight_decay=0.5), model)
    values = []
    for _ in expected:
        steps.zero_grad()
        model().backward()
        steps.step()
        values.append(model.w.item())
    assert values == pytest.approx(expected, abs=1e-6)


def test_everything_frozen_is_refused() -> None:
    model = OneWeight().requires_grad_(False)
    with pytest.raises(UsageError, match="every parameter is frozen"):
        make_optimizer(TrainingHparams(), model)
