"""What `prune` gives to a strategy and takes from it. What holds for every strategy is in test_conformance.py."""

import copy
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from pruning import Strategy, prunable, strategies
from tests.pruning.masking import Recorded, bits, kept, two_layers, vector

# What a strategy is given, and may return -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Vandal(Strategy):
    """Leaves nothing of the copy as it was, after looking at it."""

    mode = "train"
    dtype = torch.float64

    def score(self, model, batches, generator):
        assert model.training
        assert model[0].weight.dtype == torch.float64
        assert model[0].weight.requires_grad
        assert not torch.is_autocast_enabled("cpu")
        assert torch.is_grad_enabled()
        model(torch.ones(1, 3, dtype=torch.float64)).sum().backward()
        scores = {name: weight.detach().clone() for name, weight in prunable(model).items()}
        model.eval().requires_grad_(False).zero_grad()
        model[0].register_forward_hook(lambda *_: pytest.fail("a hook survived"))
        model[0].weight.data.zero_()
        model[1] = nn.Identity()
        return scores


def test_a_strategy_may_spoil_what_it_is_given():
    model = two_layers().eval()
    model[0].weight.requires_grad_(False)
    before = copy.deepcopy(model)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        mask = kept(Vandal(), model, 0.4, pruning_iterations=3)
    assert mask.kept == 4
    assert torch.equal(model[0].weight, before[0].weight)
    assert not model[0].weight.requires_grad
    assert isinstance(model[1], nn.Linear)
    assert not model.training
    assert model[1].weight.grad is None


def test_a_copy_that_serves_all_iterations_is_refreshed():
    @dataclass(frozen=True, kw_only=True)
    class Doubling(Recorded):
        spoils_values_only = True

        def score(self, model, batches, generator):
            scores = {name: weight.detach().clone() for name, weight in prunable(model).items()}
            self.seen.append(float(scores["0.weight"].max()))
            model[0].weight.data.mul_(2)
            return scores

    strategy = Doubling()
    assert bits(kept(strategy, vector(1, 2, 3, 4), 0.25, pruning_iterations=3)) == [0, 0, 0, 1]
    assert strategy.seen == [4, 4, 4]


@dataclass(frozen=True, kw_only=True)
class Returns(Strategy):
    """Returns what it was told to."""

    answer: dict = field(default_factory=dict)
    name = "mine"

    def score(self, model, batches, generator):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({}, "0.weight is missing"),
        ({"0.weight": torch.ones(4)}, r"0.weight has shape \(4,\); expected \(1, 4\)"),
        ({"0.weight": torch.ones(1, 4), "1.bias": torch.ones(1)}, "1.bias has no weights to go with"),
        ({"0.weight": torch.tensor([[1, 2, float("nan"), 3]])}, "0.weight is not finite"),
        ({"0.weight": torch.tensor([[1, 2, float("inf"), 3]])}, "0.weight is not finite"),
    ],
)
def test_scores_that_cannot_be_used_are_an_error_with_strategy_and_layer(answer, message):
    with pytest.raises(UsageError, match=f"--pruning_strategy=mine: the score of layer {message}"):
        kept(Returns(answer=answer), vector(1, 2, 3, 4), 0.5)


# Random numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "random_erk"])
def test_another_seed_gives_another_random_mask(name, residual):
    strategy = strategies.get(name)()
    assert kept(strategy, residual, 0.5, seed=0) != kept(strategy, residual, 0.5, seed=1)


def test_the_global_random_numbers_are_left_alone():
    @dataclass(frozen=True, kw_only=True)
    class Seeding(Strategy):
        def score(self, model, batches, generator):
            torch.manual_seed(0)
            return {name: torch.rand(weight.shape) for name, weight in prunable(model).items()}

    model, before = two_layers(), torch.get_rng_state()
    kept(Seeding(), model, 0.5)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_draws_from_the_generator_too(batches):
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 20), nn.Dropout(), nn.Linear(20, 3))
    snip = strategies.get("snip")()
    first = kept(snip, model, 0.1, batches=batches)
    torch.rand(1)
    assert first == kept(snip, model, 0.1, batches=batches)
    assert first != kept(snip, model, 0.1, batches=batches, seed=1)
