"""What `prune` does for every strategy: counts, schedule and scope."""

from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch

from foundations.errors import UsageError
from foundations.reporting import Reporter
from pruning import Mask, PruningHparams, Strategy, prunable, prune
from tests.pruning.masking import NO_DATA, Recorded, bits, kept, two_layers, vector

# Counts --------------------------------------------------------------------------------------------------------


def test_keeps_the_highest(by_value):
    assert bits(kept(by_value, vector(3, -5, 4, 1), 0.5)) == [1, 0, 1, 0]


def test_of_equals_keeps_the_first(by_value):
    assert bits(kept(by_value, vector(1, 2, 1, 1, 2), 0.6)) == [1, 1, 0, 0, 1]
    assert bits(kept(by_value, vector(0, 0, 0, 0), 0.25)) == [1, 0, 0, 0]


@pytest.mark.parametrize("scores", [[0.0] * 24, [1, 2, 3] * 8, list(range(24)), [-7.5, 0, 0, 1e30] * 6])
@pytest.mark.parametrize("iterations", [1, 3])
def test_exact_counts_at_every_density_ties_included(by_value, scores, iterations):
    for count in range(1, 25):
        assert kept(by_value, vector(*scores), count / 24, pruning_iterations=iterations).kept == count


@pytest.mark.parametrize("density", [0, 0.01, 1.5, float("nan")])
def test_a_density_that_keeps_nothing_or_is_none_is_refused_before_anything_is_scored(density):
    strategy = Recorded()
    with pytest.raises(UsageError, match=f"--density={density}: "):
        kept(strategy, vector(*range(24)), density)
    assert not strategy.seen


def test_the_count_is_rounded(by_value):
    assert kept(by_value, vector(*range(10)), 0.449).kept == 4
    assert kept(by_value, vector(*range(10)), 0.451).kept == 5


def test_counts_are_exact_for_scores_beyond_float32(by_value):
    model = vector(*range(8)).double()
    model[0].weight.data = model[0].weight.data * 1e200
    assert bits(kept(by_value, model, 0.25)) == [0, 0, 0, 0, 0, 0, 1, 1]


# Iterations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "density", "found"),
    [("exponential", 4 / 64, [64, 32, 16, 8]), ("linear", 1 / 64, [64, 48, 32, 17])],
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
