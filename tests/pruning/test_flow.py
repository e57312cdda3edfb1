"""What SynFlow asks of a network: that its flow is positive and never stopped."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from foundations.errors import UsageError
from pruning import Batches, Mask, PruningHparams, prune, strategies
from pruning.flow import flow_of
from tests.pruning.networks import SHAPE, Apply, OwnLayerNorm, mlp

FEW = PruningHparams(pruning_iterations=3)


@pytest.fixture
def batches() -> Batches:
    return Batches.of([(torch.rand(6, *SHAPE), torch.arange(6))])


def pruned(strategy: str, model: nn.Module, batches: Batches, **choices: str) -> Mask:
    return prune(strategies.get(strategy)(**choices), model, batches, FEW, density=0.2)


def with_activation(activation: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    model = mlp(width=40)
    model[2], model[5] = activation, activation
    return model


@pytest.mark.parametrize(
    "activation", [nn.ReLU6(), nn.Hardtanh(), nn.Tanh(), nn.Softsign(), Apply(lambda x: x.clamp(0, 0.5))]
)
def test_where_a_flow_would_saturate_the_scores_are_those_of_the_unbounded_network(activation, batches):
    expected = pruned("synflow", with_activation(nn.ReLU()), batches)
    assert pruned("synflow", with_activation(activation), batches) == expected


@pytest.mark.parametrize("gate", [torch.sigmoid, F.hardsigmoid])
def test_a_gate_stays_between_a_half_and_one_and_lets_its_own_layers_be_scored(gate, batches):
    straight = flow_of(Apply(gate), torch.tensor([0.0, 100.0, 400.0], dtype=torch.float64))
    assert straight.tolist() == [0.5, 0.625, 1.0]
    mask = pruned("synflow", with_activation(Apply(lambda x: x * gate(x))), batches)
    assert all(entry.any() for entry in mask.values())


@pytest.mark.parametrize("head", [nn.LogSoftmax(1), nn.Softmax(1)])
def test_a_softmax_at_the_end_is_scored_by_its_logits(head, batches):
    torch.manual_seed(0)
    model = mlp()
    for strategy in ("synflow", "adsynflow"):
        found = pruned(strategy, nn.Sequential(*model, head), batches)
        assert found == pruned(strategy, model, batches)


def test_a_network_that_normalizes_its_images_is_refused_where_that_makes_them_negative(batches):
    model = nn.Sequential(Apply(lambda x: (x - 0.5) / 0.25), mlp())
    with pytest.raises(UsageError, match=r"--pruning_strategy=adsynflow: values below zero enter the first layer, 1.1"):
        pruned("adsynflow", model, batches)
    assert pruned("synflow", model, batches).kept  # ones stay positive
    assert pruned("adsynflow", model, batches, synflow_signs="kept").kept


def test_negative_values_further_on_are_said(batches):
    with pytest.warns(UserWarning, match="adsynflow: values below zero enter 4.weight: paths cancel there"):
        pruned("adsynflow", mlp(OwnLayerNorm(12)), batches)


@pytest.mark.parametrize(("value", "what"), [(0.0, "zero"), (0.5, "equal")])
def test_one_score_for_a_whole_layer_is_said_for_every_strategy(value, what):
    model = mlp()
    nn.init.constant_(model[4].weight, value)
    with pytest.warns(UserWarning, match=rf"magnitude: all scores are {what} in 1 of 3 layers \(4.weight\)"):
        prune("magnitude", model, density=0.5)
