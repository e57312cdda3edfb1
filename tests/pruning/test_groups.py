"""Scopes, and layers with a fraction of their own."""

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from pruning import Batches, Mask, PruningHparams, prune
from pruning.prune import erk_scores

NO_DATA = Batches([], [], torch.zeros(1, 1, 1))


@pytest.fixture
def model() -> nn.Sequential:
    """Layers of 100, 1,000 and 20 weights."""
    return nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 100), nn.Linear(10, 2))


def kept(strategy: str, model: nn.Module, density: float, mask: Mask | None = None, **hparams) -> list[int]:
    found = prune(strategy, model, NO_DATA, PruningHparams(**hparams), density, mask=mask)
    return [int(entry.sum()) for entry in found.values()]


def test_erk_scores_by_hand() -> None:
    """A layer of 2 by 2: sum(d) = 4, ranks 2, 0, 1, and last the weight that is pruned."""
    scores, alive = torch.tensor([[0.1, 0.9], [0.5, 7.0]]), torch.tensor([[True, True], [True, False]])
    expected = 4 / torch.tensor([[2.5, 0.5], [1.5, 3.5]])
    assert torch.equal(erk_scores(scores, alive), expected)


def test_the_density_of_erk_is_exact_though_small_layers_are_full(model) -> None:
    """eps * (20 + 110 + 12) = 112 at 10% would keep 16, 87 and 9; at 40% the last layer would need more than it has."""
    assert kept("magnitude", model, 0.1, pruning_scope="erk") == [16, 87, 9]
    assert kept("magnitude", model, 0.4, pruning_scope="erk") == [66, 362, 20]


def test_erk_keeps_the_largest_of_each_layer(model) -> None:
    mask = prune("magnitude", model, NO_DATA, PruningHparams(pruning_scope="erk"), 0.1)
    for layer, entry in zip(model, mask.values(), strict=True):
        size = layer.weight.abs()
        assert size[entry].min() > size[~entry].max()


def test_a_random_mask_with_the_scope_erk_is_laid_out_as_random_erk(model) -> None:
    assert kept("random", model, 0.2, pruning_scope="erk") == kept("random_erk", model, 0.2)


def test_erk_level_by_level_is_exact_and_nests(model) -> None:
    first = prune("magnitude", model, NO_DATA, PruningHparams(pruning_scope="erk", pruning_iterations=3), 0.5)
    second = prune("magnitude", model, NO_DATA, PruningHparams(pruning_scope="erk"), 0.1, mask=first)
    assert (first.kept, second.kept) == (560, 112)
    assert all((second[name] <= first[name]).all() for name in first)


@pytest.mark.parametrize(("scope", "others"), [("layer", [51, 512]), ("global", None)])
def test_a_layer_with_a_fraction_of_its_own_is_pruned_by_it_as_often(model, scope, others) -> None:
    """0.8^3 of the others and 0.9^3 of the last are left after three levels of 20% and 10%."""
    found = kept("magnitude", model, 0.8**3, pruning_scope=scope, layer_fractions=("2:0.1",), pruning_fraction=0.2)
    assert found[2] == round(20 * 0.9**3)
    assert found[:2] == others if others else sum(found[:2]) == round(1100 * 0.8**3)


def test_a_fraction_of_nothing_leaves_a_layer_whole(model) -> None:
    assert kept("magnitude", model, 0.1, layer_fractions=("0:0",))[0] == 100


def test_layers_apart_have_the_density_of_the_others_however_low_their_scores(model) -> None:
    """Without it the first layer, whose weights are a hundredth of the others', would lose all of them."""
    with torch.no_grad():
        model[0].weight /= 100
    assert kept("magnitude", model, 0.1)[0] == 0
    first, second, last = kept("magnitude", model, 0.1, layers_apart=("0",))
    assert (first, second + last) == (10, 102)


def test_layers_apart_compete_with_each_other(model) -> None:
    together = kept("magnitude", model, 0.1, layers_apart=("0", "2"))
    assert (together[0] + together[2], together[1]) == (12, 100)


def test_layers_apart_that_cannot_be_are_refused(model) -> None:
    with pytest.raises(UsageError, match="--layers_apart=fc: no such layer; layers: 0, 1, 2"):
        kept("magnitude", model, 0.1, layers_apart=("fc",))
    with pytest.raises(UsageError, match="--layers_apart=fc: has no effect with --pruning_scope=layer"):
        PruningHparams(layers_apart=("fc",), pruning_scope="layer")


@pytest.mark.parametrize("entry", ["fc", "fc:1", "fc:-0.1", "fc:half", ":0.1"])
def test_what_is_no_fraction_is_refused(entry: str) -> None:
    with pytest.raises(UsageError, match=f"--layer_fractions={entry}: expected a layer and a fraction"):
        PruningHparams(layer_fractions=(entry,))


def test_a_fraction_of_no_layer_is_refused(model) -> None:
    with pytest.raises(UsageError, match="--layer_fractions=fc: no such layer; layers: 0, 1, 2"):
        kept("magnitude", model, 0.1, layer_fractions=("fc:0.1",))
