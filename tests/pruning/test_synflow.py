"""SynFlow's inputs, its treatment of BatchNorm, and what it prunes; float64.

Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow".
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from pruning import Batches, Mask, PruningHparams, empty_layers, has_path, prunable, prune, strategies
from tests.pruning.flows import assert_equal, chain, image_of_ones, scores

# Inputs --------------------------------------------------------------------------------------------------------


def test_one_image_is_picked_by_the_generator(residual, batches):
    images = [image for pixels in batches.pixels for image in pixels]
    expected = [scores(residual, Batches([], [], image), synflow_input="mean")["7.weight"] for image in images]
    picked = set()
    for seed in range(10):
        found = scores(residual, batches, seed, synflow_input="image")["7.weight"]
        picked.add(next(index for index, score in enumerate(expected) if torch.allclose(score, found)))
    assert len(picked) > 2


def test_the_same_image_serves_all_iterations(residual, batches, monkeypatch):
    synflow = strategies.get("synflow")
    chosen: list[Tensor] = []
    inputs: Callable[..., list[Tensor]] = synflow.inputs

    def recorded(self, batches, generator):
        chosen.extend(inputs(self, batches, generator))
        return chosen[-1:]

    monkeypatch.setattr(synflow, "inputs", recorded)
    hparams = PruningHparams(pruning_iterations=5)
    prune(synflow(synflow_input="image"), residual, batches, hparams, 0.5, torch.Generator().manual_seed(4))
    assert len(chosen) >= 5
    assert all(torch.equal(image, chosen[0]) for image in chosen)


def test_ones_needs_the_images_shape_only(residual, batches):
    assert_equal(scores(residual, batches), scores(residual, image_of_ones(2, 8, 8)))


def test_adsynflow_is_synflow_with_other_defaults(residual, batches):
    adsynflow, synflow = strategies.get("adsynflow")(), strategies.get("synflow")(synflow_input="mean")
    hparams = PruningHparams(pruning_iterations=5)
    masks = [prune(s, residual, batches, hparams, 0.2, torch.Generator()) for s in (adsynflow, synflow)]
    assert masks[0] == masks[1]


# BatchNorm -----------------------------------------------------------------------------------------------------


def norm_by_hand() -> nn.Sequential:
    """One weight of 2 and a BatchNorm that multiplies by -6 / sqrt(4 + 5) = -2 about a mean of -1."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=5.0)).double()
    model[0].weight.data.fill_(2)
    model[1].weight.data.fill_(-6)
    model[1].bias.data.fill_(7)
    model[1].running_mean.fill_(-1)
    model[1].running_var.fill_(4)
    return model


def test_treatments_differ_in_the_factor_and_the_shift():
    """The factor is followed by a ReLU and a weight of 1, whose score is the value that reaches it."""
    model = nn.Sequential(*norm_by_hand(), nn.ReLU(), nn.Conv2d(1, 1, 1, bias=False).double())
    model[3].weight.data.fill_(1)
    reached = {
        choice: scores(model, image_of_ones(1, 1, 1), synflow_batchnorm=choice)["3.weight"].item()
        for choice in ("scale", "identity", "eval")
    }
    # eval: |mean| = 1 is subtracted and the bias of 7 added.
    assert reached == pytest.approx({"scale": 2 * 2, "identity": 2, "eval": (2 - 1) * 2 + 7})
    kept = scores(model, image_of_ones(1, 1, 1), synflow_batchnorm="scale", synflow_signs="kept")
    assert kept["3.weight"].item() == 0, "the factor is -2 and the ReLU blocks"


def test_batchnorm_without_scale_and_shift_of_its_own():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, affine=False, eps=1e-30)).double()
    model[1].running_var.fill_(4)
    weight = model[0].weight.item()
    for choice, factor in [("scale", 0.5), ("identity", 1.0)]:
        found = scores(model, image_of_ones(1, 1, 1), synflow_batchnorm=choice)["0.weight"].item()
        assert found == pytest.approx(abs(weight) * factor)


def test_batchnorm_without_running_statistics_is_no_factor():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, track_running_stats=False))
    with pytest.raises(UsageError, match="--synflow_batchnorm: layer '1' keeps no running statistics"):
        scores(model, image_of_ones(1, 2, 2), synflow_batchnorm="scale")


# Maximal critical compression ----------------------------------------------------------------------------------


def test_small_steps_prune_a_chain_to_its_last_path():
    """One weight at a time: no layer empties before every layer has but one weight (theorem 3)."""
    model = chain(20, 10, 5, 2)
    total = Mask.ones(model).total
    hparams = PruningHparams(pruning_iterations=total - 3, pruning_schedule="linear")
    synflow = strategies.get("synflow")()
    mask = prune(synflow, model, image_of_ones(20), hparams, 3 / total, torch.Generator())
    assert [int(entry.sum()) for entry in mask.values()] == [1, 1, 1]
    assert has_path(model, mask, (20,))


def test_a_single_shot_at_the_same_density_empties_a_layer():
    model = chain(20, 10, 5, 2)
    synflow = strategies.get("synflow")()
    mask = prune(synflow, model, image_of_ones(20), PruningHparams(), 3 / 260, torch.Generator())
    assert mask.kept == 3
    assert empty_layers(mask)


@pytest.mark.parametrize("seed", range(5))
def test_no_layer_empties_before_all_must_on_other_chains(seed):
    model = chain(6, 9, 4, 7, 3, seed=seed)
    total = Mask.ones(model).total
    hparams = PruningHparams(pruning_iterations=total - 4, pruning_schedule="linear")
    mask = prune(strategies.get("synflow")(), model, image_of_ones(6), hparams, 4 / total, torch.Generator())
    assert not empty_layers(mask)
    assert has_path(model, mask, (6,))


# Numerics ------------------------------------------------------------------------------------------------------


def test_overflow_is_said_with_strategy_and_layer():
    model = chain(4, 4, 4)
    model[0].weight.data.fill_(1e200)
    model[1].weight.data.fill_(1e200)
    message = "--pruning_strategy=synflow: the score of layer 0.weight is not finite; it was computed in torch.float64"
    with pytest.raises(UsageError, match=message):
        prune(strategies.get("synflow")(), model, image_of_ones(4), PruningHparams(), 0.5, torch.Generator())


def test_flows_beyond_float32_are_finite():
    model = chain(4, 4, 4).float()
    model[0].weight.data.fill_(1e30)
    model[1].weight.data.fill_(1e30)
    mask = prune(strategies.get("synflow")(), model, image_of_ones(4), PruningHparams(), 0.5, torch.Generator())
    assert mask.kept == 16
    assert all(torch.isfinite(weight).all() for weight in prunable(model).values())
