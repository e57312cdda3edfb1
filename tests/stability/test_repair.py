"""Statistics of activations between two networks without BatchNorm."""

import copy

import pytest
import torch
from torch import nn

from pruning.graph import channel_graph
from stability.interpolation import Examples, Line, Meter, even_alphas, recalculate, walk
from stability.repair import Repair
from stability.rows import ALIGNED
from training.hparams import TrainingHparams


def two_layers(first: list[float], second: list[float]) -> nn.Module:
    """x -> two hidden units -> one output."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    model[1].weight.data, model[1].bias.data = torch.tensor(first).unsqueeze(1), torch.zeros(2)
    model[3].weight.data = torch.tensor([second])
    return model.eval()


def repair_between(first: nn.Module, second: nn.Module, x: torch.Tensor) -> Repair:
    line = Line(copy.deepcopy(first), first.state_dict(), second.state_dict())
    return Repair(line, channel_graph(first), lambda model: recalculate(model, [(x, torch.zeros(len(x)))]))


def test_two_layers_by_hand() -> None:
    """x has the mean 1 and, as a sample, the standard deviation 2. A unit of weight w has w and 2 |w|.

    Half way between the weights 1 and -1 a unit is 0 for every x, and nothing can be rescaled: what is left is the
    mean of the means, 0. Between 2 and 4 it is 3 x, as it should be. The last layer, 1 and 1, is not touched.
    """
    x = torch.tensor([[-1.0], [1.0], [3.0]])
    found = repair_between(two_layers([1.0, 2.0], [1.0, 1.0]), two_layers([-1.0, 4.0], [1.0, 1.0]), x)
    assert [layer.layer.out_features for layer in found.layers] == [2]
    (mean, deviation), (other_mean, other_deviation) = found.ends[0][0], found.ends[1][0]
    assert mean.tolist() == pytest.approx([1, 2])
    assert other_mean.tolist() == pytest.approx([-1, 4])
    assert deviation.tolist() == pytest.approx([2, 4], rel=1e-3)
    assert other_deviation.tolist() == pytest.approx([2, 8], rel=1e-3)
    with torch.no_grad():
        hidden = found(0.5).get_submodule("1")(x)
        torch.testing.assert_close(hidden, torch.tensor([[0.0, -3.0], [0.0, 3.0], [0.0, 9.0]]), rtol=1e-3, atol=1e-3)


def test_every_channel_has_the_statistics_between_those_of_the_ends() -> None:
    """Between 1 and -3 lies -1, of deviation 2 and mean -1; the ends have 2 and 6, so that 4 is asked for."""
    x = torch.tensor([[-1.0], [1.0], [3.0]])
    found = repair_between(two_layers([1.0, 1.0], [1.0, 1.0]), two_layers([-3.0, 1.0], [1.0, 1.0]), x)
    with torch.no_grad():
        hidden = found(0.5).get_submodule("1")(x)
    assert hidden[:, 0].mean().item() == pytest.approx((1 - 3) / 2, abs=1e-3)
    assert hidden[:, 0].std().item() == pytest.approx((2 + 6) / 2, rel=1e-3)
    torch.testing.assert_close(hidden[:, 1:], x, rtol=1e-3, atol=1e-3)


def test_the_ends_are_what_they_are() -> None:
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(),
                                   nn.Linear(5, 3)).eval() for _ in range(2))  # fmt: skip
    x = torch.randn(500, 4)  # a batch's own variance is 499/500 of what is kept of it
    found = repair_between(first, second, x)
    assert len(found.layers) == 2
    with torch.no_grad():
        torch.testing.assert_close(found(0)(x), first(x), rtol=1e-2, atol=1e-3)
        torch.testing.assert_close(found(1)(x), second(x), rtol=1e-2, atol=1e-3)
        assert not torch.allclose(found(0.5)(x), found.line.go_to(0.5)(x), atol=1e-2)
        assert len(list(found.line.model.children())) == 6  # the network of the line is as it was


def test_a_walk_repairs_at_every_alpha(digits) -> None:
    torch.manual_seed(0)
    first, second = (nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)) for _ in range(2))
    line = Line(copy.deepcopy(first), first.state_dict(), second.state_dict())
    meter = Meter(digits, TrainingHparams(), Examples(train=100, batchnorm=100))
    repair = Repair(line, channel_graph(first), meter.recalculate)
    rows = walk(line, meter, (1, 2), even_alphas(3), treatments=ALIGNED, repair=repair)
    losses = {(row.alpha, row.batchnorm): row.loss for row in rows if row.split == "test"}
    assert losses[0, "aligned"] == pytest.approx(losses[0, "aligned_recalculated"], rel=1e-3)
    assert losses[0.5, "aligned"] != losses[0.5, "aligned_recalculated"]
    assert losses[0.5, "aligned_recalculated"] == meter.measure(repair(0.5), "test")["loss"]
