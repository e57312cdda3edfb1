import pytest
import torch
from torch import nn

from pruning import Mask, empty_layers, has_path

SHAPE = (2, 8, 8)


def without(model: nn.Module, *names: str) -> Mask:
    """The full mask, with some layers emptied."""
    return Mask({name: entry if name not in names else ~entry for name, entry in Mask.ones(model).items()})


def test_empty_layers_are_named_in_order(residual):
    assert empty_layers(Mask.ones(residual)) == []
    assert empty_layers(without(residual, "7.weight", "0.weight")) == ["0.weight", "7.weight"]


@pytest.mark.parametrize("name", ["0.weight", "7.weight"])
def test_without_a_layer_that_all_paths_need_there_is_none(residual, name):
    assert has_path(residual, Mask.ones(residual), SHAPE)
    assert not has_path(residual, without(residual, name), SHAPE)


def test_residual_paths_lead_around_empty_layers(residual):
    assert has_path(residual, without(residual, "3.conv1.weight", "3.conv2.weight"), SHAPE)
    assert has_path(residual, without(residual, "4.conv1.weight"), SHAPE)
    assert has_path(residual, without(residual, "4.shortcut.weight"), SHAPE)
    assert not has_path(residual, without(residual, "4.shortcut.weight", "4.conv2.weight"), SHAPE)


def test_no_layer_is_empty_and_yet_there_is_no_path():
    """The first layer feeds only the first hidden unit, the second reads only the second."""
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    mask = Mask({"0.weight": torch.tensor([[True], [False]]), "2.weight": torch.tensor([[False, True]])})
    assert empty_layers(mask) == []
    assert not has_path(model, mask, (1,))
    assert has_path(model, Mask({**mask, "2.weight": torch.tensor([[True, False]])}), (1,))


def test_values_signs_biases_and_normalization_do_not_matter():
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.GroupNorm(3, 3),
        nn.Sigmoid(),
        nn.Conv2d(3, 3, 3, bias=False),
        nn.BatchNorm2d(3, track_running_stats=False),
        nn.Tanh(),
        nn.Flatten(),
        nn.LayerNorm(48),
        nn.Linear(48, 2),
        nn.Softplus(),
    )
    for parameter in model.parameters():
        parameter.data.fill_(-1)
    assert has_path(model, Mask.ones(model), SHAPE)
    for name in Mask.ones(model):
        assert not has_path(model, without(model, name), SHAPE)


def test_a_thousand_wide_layers_do_not_overflow():
    model = nn.Sequential(*[nn.Linear(64, 64, bias=False) for _ in range(300)])
    assert has_path(model, Mask.ones(model), (64,))
    assert not has_path(model, without(model, "150.weight"), (64,))


def test_the_model_stays_as_it_is(residual):
    before = {name: value.clone() for name, value in residual.state_dict().items()}
    has_path(residual, Mask.ones(residual), SHAPE)
    assert residual.training
    assert all(torch.equal(value, before[name]) for name, value in residual.state_dict().items())
    assert not residual[0]._forward_hooks
