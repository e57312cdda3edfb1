"""Evaluation: mean loss and accuracy, and a network that is left as it was."""

import math

import pytest
import torch
from torch import nn

from training.loop import evaluate


def test_evaluation_by_hand() -> None:
    """The network returns its input: three examples with two logits each, in batches of two and one."""
    ln3 = math.log(3)
    batches = [
        (torch.tensor([[0.0, ln3], [ln3, 0.0]]), torch.tensor([1, 1])),  # p(right) = 3/4 and 1/4
        (torch.tensor([[0.0, ln3]]), torch.tensor([1])),  # 3/4
    ]
    result = evaluate(nn.Sequential(nn.Dropout(0.999)), iter(batches))  # in evaluation mode dropout does nothing
    assert result["accuracy"] == pytest.approx(2 / 3)
    assert result["loss"] == pytest.approx((2 * math.log(4 / 3) + math.log(4)) / 3)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_changes_neither_mode_nor_statistics(training: bool) -> None:
    model = nn.Sequential(nn.BatchNorm1d(2)).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, iter([(torch.randn(4, 2), torch.tensor([0, 1, 0, 1]))]))
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
