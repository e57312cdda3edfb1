"""What `prune` does for every strategy: counts, schedule, scope, and what it leaves alone."""

import copy
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from foundations.reporting import Reporter
from pruning import Batches, Mask, PruningHparams, Strategy, prunable, prune, strategies

NO_DATA = Batches([], [], torch.zeros(1, 1, 1))


def vector(*values: float) -> nn.Sequential:
    """A network whose prunable weights are ``values``."""
    model = nn.Sequential(nn.Linear(len(values), 1, bias=False))
    model[0].weight.data = torch.tensor([values], dtype=torch.float32)
    return model


def kept(strategy, model, density, mask=None, seed=0, batches=NO_DATA, **hparams) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    return prune(strategy, model, batches, PruningHparams(**hparams), density, generator, mask)


def bits(mask: Mask, name: str = "0.weight") -> list[int]:
    return mask[name].flatten().int().tolist()


# Counts --------------------------------------------------------------------------------------------------------


def test_keeps_the_highest(by_value):
    assert bits(kept(by_value, vector(3, -5, 4, 1), 0.5)) == [1, 0, 1, 0]


def test_of_equals_keeps_the_first(by_value):
    assert bits(kept(by_value, vector(1, 2, 1, 1, 2), 0.6)) == [1, 1, 0, 0, 1]
    assert bits(kept(by_value, vector(0, 0, 0, 0), 0.25)) == [1, 0, 0, 0]


@pytest.mark.parametrize("scores", [[0.0] * 24, [1, 2, 3] * 8, list(range(24)), [-7.5, 0, 0, 1e30] * 6])
@pytest.mark.parametrize("iterations", [1, 3])
def test_exact_counts_at_every_density_ties_included(by_value, scores, iterations):
    for count in range(25):
        assert kept(by_value, vector(*scores), count / 24, pruning_iterations=iterations).kept == count


def test_the_count_is_rounded(by_value):
    assert kept(by_value, vector(*range(10)), 0.449).kept == 4
    assert kept(by_value, vector(*range(10)), 0.451).kept == 5


def test_counts_are_exact_for_scores_beyond_float32(by_value):
    model = vector(*range(8)).double()
    model[0].weight.data = model[0].weight.data * 1e200
    assert bits(kept(by_value, model, 0.25)) == [0, 0, 0, 0, 0, 0, 1, 1]


# Iterations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Recorded(Strategy):
    """Scores every weight with itself, and writes down how many weights it found alive."""

    seen: list = field(default_factory=list)

    def score(self, model, batches, generator):
        self.seen.append(sum(int((weight != 0).sum()) for weight in prunable(model).values()))
        return dict(prunable(model))


@pytest.mark.parametrize(
    ("schedule", "density", "found"),
    [("exponential", 4 / 64, [64, 32, 16, 8]), ("linear", 0.0, [64, 48, 32, 16])],
)
def test_schedule(schedule, density, found):
    strategy, model = Recorded(), vector(*range(1, 65))
    mask = kept(strategy, model, density, pruning_iterations=4, pruning_schedule=schedule)
    assert strategy.seen == found
    assert mask.density == density


def test_a_schedule_starts_from_the_mask_given():
    strategy, model = Recorded(), vector(*range(1, 65))
    start = kept(strategy, model, 0.25)
    strategy.seen.clear()
    assert kept(strategy, model, 1 / 64, start, pruning_iterations=4).kept == 1
    assert strategy.seen == [16, 8, 4, 2]


@dataclass(frozen=True, kw_only=True)
class Contrary(Strategy):
    """Ranks pruned weights, which it finds to be zero, above all others."""

    def score(self, model, batches, generator):
        return {name: torch.where(weight == 0, 1e9, weight) for name, weight in prunable(model).items()}


def test_what_is_pruned_stays_pruned():
    model = vector(*range(1, 21))
    first = kept(Contrary(), model, 0.5)
    assert bits(first) == [0] * 10 + [1] * 10
    second = kept(Contrary(), model, 0.25, first, pruning_iterations=5)
    assert bits(second) == [0] * 15 + [1] * 5


def test_negative_scores_of_kept_weights_beat_pruned_ones(by_value):
    start = Mask({"0.weight": torch.tensor([[False, True, True, True]])})
    assert bits(kept(by_value, vector(9, -1, -2, -3), 0.5, start)) == [0, 1, 1, 0]


def test_no_density_above_the_mask_s(by_value):
    start = Mask({"0.weight": torch.tensor([[False, True, True, False]])})
    assert kept(by_value, vector(1, 2, 3, 4), 0.5, start) == start
    with pytest.raises(UsageError, match=r"--density=0\.75: only 0\.5 of the weights are left"):
        kept(by_value, vector(1, 2, 3, 4), 0.75, start)


@pytest.mark.parametrize("density", [-0.1, 1.5, float("nan")])
def test_a_density_is_a_share(by_value, density):
    with pytest.raises(UsageError, match="--density="):
        kept(by_value, vector(1, 2), density)


def test_progress_is_told():
    told = []

    class Listening(Reporter):
        @contextmanager
        def progress(self, description, total, unit=""):
            told.append((description, total))
            yield told.append

    hparams = PruningHparams(pruning_iterations=3)
    prune(Recorded(), vector(1, 2), NO_DATA, hparams, 0.5, torch.Generator(), reporter=Listening())
    assert told == [("Pruning with unregistered", 3), 1, 1, 1]


# Scope ---------------------------------------------------------------------------------------------------------


def two_layers() -> nn.Sequential:
    """Weights 1 to 6 in the first layer, 10 to 40 in the second."""
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[0].weight.data = torch.arange(1.0, 7).view(2, 3)
    model[1].weight.data = 10 * torch.arange(1.0, 5).view(2, 2)
    return model


def test_global_scope_compares_all_layers(by_value):
    mask = kept(by_value, two_layers(), 0.5)
    assert bits(mask, "0.weight") == [0, 0, 0, 0, 0, 1]
    assert bits(mask, "1.weight") == [1, 1, 1, 1]


def test_layer_scope_prunes_every_layer_alike(by_value):
    mask = kept(by_value, two_layers(), 0.5, pruning_scope="layer")
    assert bits(mask, "0.weight") == [0, 0, 0, 1, 1, 1]
    assert bits(mask, "1.weight") == [0, 0, 1, 1]


def test_layer_scope_leaves_alone_what_is_sparse_already(by_value):
    start = Mask({"0.weight": torch.eye(2, 3, dtype=torch.bool), "1.weight": torch.ones(2, 2, dtype=torch.bool)})
    mask = kept(by_value, two_layers(), 0.5, start, pruning_scope="layer")
    assert bits(mask, "0.weight") == [1, 0, 0, 0, 1, 0]
    assert bits(mask, "1.weight") == [0, 0, 1, 1]


def test_ignored_layers_keep_their_weights_and_count_for_nothing(by_value):
    mask = kept(by_value, two_layers(), 0.5, layers_to_ignore=("0",))
    assert bits(mask, "0.weight") == [1] * 6
    assert bits(mask, "1.weight") == [0, 0, 1, 1]
    assert mask.without(["0.weight"]).density == 0.5


def test_ignored_layers_stay_as_sparse_as_they_are(by_value):
    start = Mask({"0.weight": torch.eye(2, 3, dtype=torch.bool), "1.weight": torch.ones(2, 2, dtype=torch.bool)})
    mask = kept(by_value, two_layers(), 0.25, start, layers_to_ignore=("0.weight",))
    assert torch.equal(mask["0.weight"], start["0.weight"])
    assert bits(mask, "1.weight") == [0, 0, 0, 1]


def test_ignoring_everything_is_an_error(by_value):
    with pytest.raises(UsageError, match=r"--layers_to_ignore=\*: no layer is left"):
        kept(by_value, two_layers(), 0.5, layers_to_ignore=("*",))


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


# Every strategy ------------------------------------------------------------------------------------------------


def few_iterations(name: str) -> dict:
    defaults = strategies.get(name).pruning_defaults()
    return defaults | {"pruning_iterations": min(4, defaults.get("pruning_iterations", 1))}


@pytest.mark.parametrize("name", strategies.names())
def test_nothing_about_the_model_passed_in_changes(name, residual, batches):
    residual.eval()
    residual[0].weight.requires_grad_(False)
    residual[4].bn1.train()
    before = copy.deepcopy(residual)
    random_state = torch.get_rng_state()

    mask = kept(strategies.get(name)(), residual, 0.3, batches=batches, **few_iterations(name))

    assert mask.density == pytest.approx(0.3, abs=0.01)
    assert torch.equal(torch.get_rng_state(), random_state)
    for value, old in zip(residual.state_dict().values(), before.state_dict().values(), strict=True):
        assert torch.equal(value, old)
    for module, old in zip(residual.modules(), before.modules(), strict=True):
        assert module.training == old.training
        assert not module._forward_hooks
    for parameter, old in zip(residual.parameters(), before.parameters(), strict=True):
        assert parameter.requires_grad == old.requires_grad
        assert parameter.grad is None
        assert parameter.dtype == torch.float32


@pytest.mark.parametrize("name", strategies.names())
def test_the_same_again_whatever_the_global_random_state(name, residual, batches):
    first = kept(strategies.get(name)(), residual, 0.2, batches=batches, **few_iterations(name))
    torch.rand(1)
    again = kept(strategies.get(name)(), copy.deepcopy(residual), 0.2, batches=batches, **few_iterations(name))
    assert first == again


@pytest.mark.parametrize("name", strategies.names())
def test_masks_only_shrink_from_level_to_level(name, residual, batches):
    mask = Mask.ones(residual)
    for level in range(1, 4):
        smaller = kept(strategies.get(name)(), residual, 0.6**level, mask, level, batches, **few_iterations(name))
        assert all((smaller[layer] <= mask[layer]).all() for layer in mask)
        assert smaller.kept < mask.kept
        mask = smaller


@pytest.mark.parametrize("name", ["random", "random_erk"])
def test_another_seed_gives_another_random_mask(name, residual):
    strategy = strategies.get(name)()
    assert kept(strategy, residual, 0.5, seed=0) != kept(strategy, residual, 0.5, seed=1)


def test_dropout_draws_from_the_generator_too(batches):
    model = nn.Sequential(nn.Flatten(), nn.Linear(128, 20), nn.Dropout(), nn.Linear(20, 3))
    snip = strategies.get("snip")()
    first = kept(snip, model, 0.1, batches=batches)
    torch.rand(1)
    assert first == kept(snip, model, 0.1, batches=batches)
    assert first != kept(snip, model, 0.1, batches=batches, seed=1)
