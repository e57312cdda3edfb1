"""The registry, what a strategy brings with it, and the scores that need no gradient."""

import re
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from foundations.steps import Step
from pruning import Batches, PruningHparams, Strategy, prunable, prune, strategies
from pruning.methods.magnitude import Magnitude
from pruning.strategy import StrategyRegistry

NO_DATA = Batches([], [], torch.zeros(1, 1, 1))


def pruned(name, model, density, seed=0, **hparams):
    strategy = strategies.get(name)
    settings = PruningHparams(**strategy.pruning_defaults() | hparams)
    return prune(strategy(), model, NO_DATA, settings, density, torch.Generator().manual_seed(seed))


def densities(mask) -> list[float]:
    return [mask.without(set(mask) - {name}).density for name in mask]


# Declarations --------------------------------------------------------------------------------------------------


def test_the_strategies_of_the_field():
    established = ["adsynflow", "force", "grasp", "iterative_snip", "magnitude", "random", "random_erk", "snip"]
    assert set(strategies.names()) >= {*established, "sparse_global", "sparse_layerwise", "synflow"}


def test_only_iterative_magnitude_pruning_scores_at_the_end():
    at_end = {name for name in strategies.names() if strategies.get(name).score_at == "end"}
    assert at_end == {"sparse_global", "sparse_layerwise"}


def test_all_that_prune_once_keep_a_tenth_by_default():
    fractions = {name: strategies.get(name).pruning_defaults()["pruning_fraction"] for name in strategies.names()}
    assert fractions.pop("sparse_global") == fractions.pop("sparse_layerwise") == 0.2
    assert set(fractions.values()) == {0.9}


def test_synflow_prunes_at_initialization_and_adsynflow_after_pretraining():
    synflow, adsynflow = strategies.get("synflow"), strategies.get("adsynflow")
    assert synflow.defaults == {"k": "0ep", "pruning_fraction": 0.9, "pruning_iterations": 100}
    assert adsynflow.defaults == {**synflow.defaults, "k": None}
    assert (synflow().synflow_input, adsynflow().synflow_input) == ("ones", "mean")
    assert synflow().synflow_batchnorm == adsynflow().synflow_batchnorm == "eval"


def test_a_strategy_of_one_s_own_is_one_class():
    own = StrategyRegistry("pruning strategy")

    @own.register("by_size")
    @dataclass(frozen=True, kw_only=True)
    class BySize(Strategy):
        """Keeps the weights of small layers."""

        power: int = 1
        """Of the layer's size."""

        def score(self, model, batches, generator):
            return {
                name: torch.full(weight.shape, float(-(weight.numel() ** self.power)))
                for name, weight in prunable(model).items()
            }

    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    mask = prune(own.get("by_size")(power=2), model, NO_DATA, PruningHparams(), 0.25, torch.Generator())
    assert densities(mask) == [0, 1]


def test_a_field_named_like_a_flag_of_the_framework_is_refused():
    own = StrategyRegistry("pruning strategy")

    @dataclass(frozen=True, kw_only=True)
    class Clash(Strategy):
        pruning_batches: int = 3

    with pytest.raises(UsageError, match="'clash': its field 'pruning_batches' is a flag"):
        own.register("clash")(Clash)
    assert own.names() == []


def test_a_forgotten_dataclass_decorator_is_noticed():
    own = StrategyRegistry("pruning strategy")

    class Forgotten(Strategy):
        power: int = 1

    with pytest.raises(UsageError, match="'power' is not a field; decorate the class with @dataclass"):
        own.register("forgotten")(Forgotten)


def test_a_subclass_without_fields_of_its_own_needs_no_decorator():
    own = StrategyRegistry("pruning strategy")

    @own.register("again")
    class Again(strategies.get("snip")):
        defaults: ClassVar = {"k": "5ep"}

    assert own.get("again").name == "again"
    assert strategies.get("snip").name == "snip"


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        ({"prunning_fraction": 0.5}, "its defaults have the unknown key 'prunning_fraction' (did you mean 'pruning_f"),
        ({"lr": 0.1}, "its defaults have the unknown key 'lr'; valid: k, pruning_fraction, pruning_iterations, "),
        ({"pruning_fraction": 1.5}, "its defaults do not fit: --pruning_fraction=1.5: expected a number in (0, 1)"),
        ({"pruning_iterations": "many"}, "its defaults do not fit: --pruning_iterations=many: expected a whole numb"),
        ({"pruning_scope": "blocks"}, "its defaults do not fit: --pruning_scope=blocks: expected one of global, lay"),
        ({"k": "thirty"}, "its defaults do not fit: 'thirty' is not a step; write 30 or 30ep (epochs)"),
        ({"k": 1.5}, "its defaults do not fit: --k=1.5: expected a step such as 30ep or 2000it, or None"),
    ],
)
def test_defaults_that_are_none_of_pruning_are_refused_at_registration(defaults, message):
    own = StrategyRegistry("pruning strategy")
    with pytest.raises(UsageError, match=re.escape(f"Pruning strategy 'mine': {message}")):
        own.register("mine")(type("Mine", (Magnitude,), {"defaults": defaults}))
    assert own.names() == []


@pytest.mark.parametrize("k", [None, 30, "30ep", "2000it", Step("3ep50it")])
def test_a_step_may_be_written_in_any_way(k):
    own = StrategyRegistry("pruning strategy")
    own.register("mine")(type("Mine", (Magnitude,), {"defaults": {"k": k, "pruning_fraction": 0.5}}))
    assert own.names() == ["mine"]


# Magnitude -----------------------------------------------------------------------------------------------------


def by_hand() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].weight.data = torch.tensor([[0.1, -4.0], [3.0, -0.2]])
    model[1].weight.data = torch.tensor([[0.5, -0.3]])
    return model


@pytest.mark.parametrize("name", ["magnitude", "sparse_global"])
def test_magnitude_by_hand(name):
    mask = pruned(name, by_hand(), 0.5)
    assert mask["0.weight"].int().tolist() == [[0, 1], [1, 0]]
    assert mask["1.weight"].int().tolist() == [[1, 0]]


def test_sparse_layerwise_by_hand():
    mask = pruned("sparse_layerwise", by_hand(), 0.5)
    assert mask["0.weight"].int().tolist() == [[0, 1], [1, 0]]
    assert mask["1.weight"].int().tolist() == [[1, 0]]
    assert pruned("sparse_layerwise", by_hand(), 0.25)["1.weight"].sum() == round(0.25 * 2)


# Random --------------------------------------------------------------------------------------------------------


def test_random_is_uniform_over_all_weights():
    model = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 50))
    assert densities(pruned("random", model, 0.3)) == pytest.approx([0.3, 0.3], abs=0.02)


def erk_by_hand(model: nn.Module, density: float) -> list[float]:
    """Densities min(1, eps * sum(d) / prod(d)) with eps found by halving."""
    shapes = [weight.shape for weight in prunable(model).values()]
    total = sum(shape.numel() for shape in shapes)
    low, high = 0.0, 1e6
    for _ in range(200):
        eps = (low + high) / 2
        layers = [min(1.0, eps * sum(shape) / shape.numel()) for shape in shapes]
        count = sum(layer * shape.numel() for layer, shape in zip(layers, shapes, strict=True))
        low, high = (low, eps) if count > density * total else (eps, high)
    return layers


@pytest.mark.parametrize("density", [0.02, 0.1, 0.5, 0.9])
def test_erk_densities(residual, density):
    mask = pruned("random_erk", residual, density)
    for layer, found, expected in zip(mask, densities(mask), erk_by_hand(residual, density), strict=True):
        assert abs(found - expected) * mask[layer].numel() <= 2, layer


def test_erk_fills_small_layers_and_gives_the_rest_to_the_others(residual):
    assert max(erk_by_hand(residual, 0.5)) == 1
    assert densities(pruned("random_erk", residual, 0.5)).count(1.0) == erk_by_hand(residual, 0.5).count(1.0)


def test_erk_densities_hold_level_by_level_too(residual):
    hparams, strategy = PruningHparams(pruning_iterations=3), strategies.get("random_erk")()
    mask = None
    for seed, density in enumerate([0.4, 0.1]):
        mask = prune(strategy, residual, NO_DATA, hparams, density, torch.Generator().manual_seed(seed), mask)
    for layer, found, expected in zip(mask, densities(mask), erk_by_hand(residual, 0.1), strict=True):
        assert abs(found - expected) * mask[layer].numel() <= 2, layer


def test_erk_is_random_within_a_layer():
    model = nn.Sequential(nn.Linear(100, 100, bias=False))
    rows = pruned("random_erk", model, 0.3)["0.weight"].float().mean(1)
    assert rows.std() > 0.02
    assert rows.mean() == pytest.approx(0.3)


# The batches ---------------------------------------------------------------------------------------------------


def test_batches_are_a_sequence_of_pairs(batches):
    assert len(batches) == 2
    inputs, labels = batches[1]
    assert inputs.shape == (6, 2, 8, 8)
    assert labels.dtype == torch.int64
    assert [len(labels) for _, labels in batches] == [6, 6]


def test_batches_move_images_but_not_labels_to_another_type(batches):
    moved = batches.to(torch.device("cpu"), torch.float64)
    assert {tensor.dtype for tensor in (moved[0][0], moved.pixels[0], moved.mean_image)} == {torch.float64}
    assert moved[0][1].dtype == torch.int64
