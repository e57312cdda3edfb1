"""Where weights begin: the distributions, and that they come from the given generator alone."""

import pytest
import torch
from torch import Tensor, nn

from models.factory import INITIALIZERS, initialize

FAN_IN, FAN_OUT = 50 * 9, 60 * 9


def filled(name: str, seed: int = 0) -> Tensor:
    """The weight of a 3x3 convolution from 50 to 60 channels: 27,000 numbers."""
    weight = torch.full((60, 50, 3, 3), torch.nan)
    INITIALIZERS[name](weight, torch.Generator().manual_seed(seed))
    return weight


@pytest.mark.parametrize(
    ("name", "variance", "fourth_moment"),
    # The fourth moment over the squared variance tells the shapes apart: normal 3, uniform 1.8, two points 1.
    [
        ("kaiming_normal", 2 / FAN_IN, 3.0),
        ("kaiming_uniform", 2 / FAN_IN, 1.8),
        ("xavier_normal", 2 / (FAN_IN + FAN_OUT), 3.0),
        ("xavier_uniform", 2 / (FAN_IN + FAN_OUT), 1.8),
        ("lecun_normal", 1 / FAN_IN, 2.37),  # cut off at two standard deviations
        ("binary", 2 / FAN_IN, 1.0),
    ],
)
def test_distribution(name: str, variance: float, fourth_moment: float) -> None:
    weight = filled(name)
    assert weight.mean().item() == pytest.approx(0, abs=4 * (variance / weight.numel()) ** 0.5)
    assert weight.square().mean().item() == pytest.approx(variance, rel=0.04)
    assert weight.pow(4).mean().item() / variance**2 == pytest.approx(fourth_moment, rel=0.08)


def test_binary_has_two_values() -> None:
    values = filled("binary").unique()
    torch.testing.assert_close(values, torch.tensor([-1.0, 1.0]) * (2 / FAN_IN) ** 0.5)


def test_orthogonal_has_orthonormal_rows() -> None:
    rows = filled("orthogonal").flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(60), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(INITIALIZERS.keys() - {"own"}))
def test_equal_generators_give_equal_weights_and_others_do_not(name: str) -> None:
    torch.manual_seed(1)
    first = filled(name)
    torch.manual_seed(2)
    assert torch.equal(first, filled(name))
    assert not torch.equal(first, filled(name, seed=1))


@pytest.mark.parametrize("name", ["uniform", "ones"])
def test_batchnorm(name: str) -> None:
    layer = nn.BatchNorm2d(1000)
    nn.init.constant_(layer.bias, 7.0)
    initialize(layer, "kaiming_normal", name, torch.Generator().manual_seed(0))
    scale = layer.weight.detach()
    assert not layer.bias.any()
    if name == "ones":
        assert (scale == 1).all()
    else:
        assert 0 <= scale.min() < 0.01
        assert 0.99 < scale.max() < 1
        assert scale.mean().item() == pytest.approx(0.5, abs=0.04)
        assert scale.var().item() == pytest.approx(1 / 12, rel=0.1)


def test_batchnorm_without_scale_is_passed_over() -> None:
    initialize(nn.BatchNorm2d(3, affine=False), "binary", "uniform", torch.Generator())


def test_only_weights_and_batchnorm_are_filled() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.BatchNorm1d(4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    initialize(model, "xavier_normal", "uniform", torch.Generator())
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"0.weight", "2.weight"}


def test_the_networks_own_values_may_stay():
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    initialize(model, "own", "ones", torch.Generator())
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize(("biases", "zero"), [("own", False), ("zeros", True)])
def test_biases_stay_as_drawn_or_begin_at_zero(biases: str, zero: bool) -> None:
    layer = nn.Linear(4, 3)
    drawn = layer.bias.clone()
    initialize(layer, "kaiming_normal", "ones", torch.Generator().manual_seed(0), biases)
    torch.testing.assert_close(layer.bias.data, torch.zeros(3) if zero else drawn.data)
