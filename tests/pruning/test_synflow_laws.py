"""The laws of synaptic flow, on small networks with random weights in float64.

Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow".
"""

import copy

import pytest
import torch
from torch import Tensor, nn

from pruning import Batches
from tests.pruning.flows import assert_equal, chain, image_of_ones, scores, without_output_bias


@pytest.fixture
def convolutional() -> nn.Sequential:
    """Stride, padding, average pooling, biases, two linear layers."""
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(2, 3, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(3, 4, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4, 5),
            nn.ReLU(),
            nn.Linear(5, 3),
        ).double()


# Closed form ---------------------------------------------------------------------------------------------------


def test_closed_form_on_a_chain_of_linear_layers():
    """|w_ij| times the ways into j times the ways out of i: 1' |W3| |W2| |W1| x taken apart at one weight."""
    model = chain(3, 5, 4, 2)
    w1, w2, w3 = (layer.weight.detach().abs() for layer in model)
    ways_in, ways_out = w1.sum(1), w3.sum(0)
    found = scores(model, image_of_ones(3))
    torch.testing.assert_close(found["1.weight"], ways_out[:, None] * w2 * ways_in[None, :])
    torch.testing.assert_close(found["2.weight"], w3 * (w2 @ w1).sum(1))
    torch.testing.assert_close(found["0.weight"], (w3 @ w2).sum(0)[:, None] * w1)


# Conservation --------------------------------------------------------------------------------------------------


def bias_flow(model: nn.Sequential, inputs: Tensor) -> dict[str, Tensor]:
    """b * dR/db of the network with absolute parameters."""
    model = copy.deepcopy(model)
    biases = {name: value for name, value in model.named_parameters() if name.endswith("bias")}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    gradients = torch.autograd.grad(model(inputs).sum(), list(biases.values()))
    return {name: bias * g for (name, bias), g in zip(biases.items(), gradients, strict=True)}


def test_conservation_at_every_hidden_unit(convolutional):
    """What enters a unit, its bias's part included, leaves it (theorem 1)."""
    data = image_of_ones(2, 8, 8)
    found, bias = scores(convolutional, data), bias_flow(convolutional, data.mean_image[None])
    for before, after in [("0", "3"), ("3", "6"), ("6", "8")]:
        entering = found[f"{before}.weight"].flatten(1).sum(1) + bias[f"{before}.bias"]
        leaving = found[f"{after}.weight"].transpose(0, 1).flatten(1).sum(1)
        torch.testing.assert_close(entering, leaving, rtol=1e-10, atol=0)


def test_every_layer_of_a_chain_without_biases_has_the_same_total(convolutional):
    """It is R itself (theorem 2)."""
    for name, parameter in convolutional.named_parameters():
        if name.endswith("bias"):
            parameter.data.zero_()
    data = image_of_ones(2, 8, 8)
    absolute = copy.deepcopy(convolutional)
    for parameter in absolute.parameters():
        parameter.data.abs_()
    total = absolute(data.mean_image[None]).sum()
    for score in scores(convolutional, data).values():
        torch.testing.assert_close(score.sum(), total, rtol=1e-10, atol=0)


def identity_as_convolution() -> nn.Conv2d:
    """A 1x1 convolution that does nothing, so that the flow of the identity path has a score."""
    convolution = nn.Conv2d(4, 4, 1, bias=False).requires_grad_(False)
    nn.init.dirac_(convolution.weight)
    return convolution


@pytest.mark.parametrize("choice", ["scale", "identity"])
@pytest.mark.parametrize("synflow_input", ["ones", "image", "mean", "batch"])
def test_every_cut_of_a_trained_residual_network_has_the_same_total(make_residual, batches, choice, synflow_input):
    """Residual paths run in parallel, so it is the sum over a cut that is conserved, the identity's part too."""
    model = without_output_bias(make_residual(identity_as_convolution()))
    found = scores(model, batches, synflow_batchnorm=choice, synflow_input=synflow_input)
    flow = {name.removesuffix(".weight"): score.sum() for name, score in found.items()}
    cuts = [
        flow["0"],
        flow["3.conv1"] + flow["3.shortcut"],
        flow["3.conv2"] + flow["3.shortcut"],
        flow["4.conv1"] + flow["4.shortcut"],
        flow["4.conv2"] + flow["4.shortcut"],
    ]
    for cut in cuts:
        torch.testing.assert_close(cut, flow["7"], rtol=1e-10, atol=0)
    assert flow["3.shortcut"] > 0.01 * flow["7"], "the identity path carries a good part of the flow"


def test_an_identity_path_flows_like_a_convolution_that_does_nothing(make_residual, batches):
    with_convolution = make_residual(identity_as_convolution())
    identity = make_residual()
    identity.load_state_dict(with_convolution.state_dict(), strict=False)
    expected = scores(with_convolution, batches, synflow_batchnorm="scale")
    assert_equal(scores(identity, batches, synflow_batchnorm="scale"), expected)


def totals_differ(model: nn.Sequential, batches: Batches, **choices: str) -> float:
    """The relative difference between the flow out of the network and into it."""
    found = scores(without_output_bias(model), batches, **choices)
    return abs(found["0.weight"].sum() / found["7.weight"].sum() - 1).item()


def test_eval_conserves_flow_as_long_as_batchnorm_is_fresh(make_residual, residual, batches):
    fresh = copy.deepcopy(residual)
    for module in fresh.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            module.reset_running_stats()
    assert totals_differ(fresh, batches, synflow_batchnorm="eval") < 1e-10
    assert totals_differ(residual, batches, synflow_batchnorm="eval") > 1e-3
    assert_equal(scores(fresh, batches, synflow_batchnorm="eval"), scores(fresh, batches, synflow_batchnorm="scale"))


def test_scores_with_signs_kept_are_not_conserved(residual, batches):
    assert totals_differ(residual, batches, synflow_batchnorm="scale", synflow_signs="kept") > 1e-3


# Positive homogeneity, positivity, linearity ---------------------------------------------------------------------


@pytest.mark.parametrize("signs", ["absolute", "kept"])
def test_positive_homogeneity_in_the_input(residual, batches, signs):
    choices = {"synflow_batchnorm": "scale", "synflow_input": "mean", "synflow_signs": signs}
    without_output_bias(residual)
    brighter = Batches([], [], 3 * batches.mean_image.double())
    once = scores(residual, batches, **choices)
    assert_equal(scores(residual, brighter, **choices), {name: 3 * score for name, score in once.items()})


def test_positive_homogeneity_in_every_layer_of_a_chain():
    """Scaling one layer scales all scores alike, so that no ranking changes."""
    model = chain(4, 5, 3)
    once = scores(model, image_of_ones(4))
    model[0].weight.data *= 7
    assert_equal(scores(model, image_of_ones(4)), {name: 7 * score for name, score in once.items()})


def test_absolute_scores_do_not_depend_on_signs(residual, batches):
    flipped = copy.deepcopy(residual)
    for parameter in flipped.parameters():
        parameter.data.neg_()
    choices = {"synflow_batchnorm": "scale"}
    assert_equal(scores(flipped, batches, **choices), scores(residual, batches, **choices))
    kept = choices | {"synflow_signs": "kept"}
    assert not torch.allclose(
        scores(flipped, batches, **kept)["0.weight"], scores(residual, batches, **kept)["0.weight"]
    )


def test_keeping_the_signs_of_positive_parameters_changes_nothing(residual, batches):
    for parameter in residual.parameters():
        parameter.data.abs_()
    choices = {"synflow_batchnorm": "scale"}
    assert_equal(scores(residual, batches, **choices, synflow_signs="kept"), scores(residual, batches, **choices))


def test_with_absolute_weights_all_scores_are_positive(residual, batches):
    for score in scores(residual, batches, synflow_batchnorm="scale", synflow_input="mean").values():
        assert (score > 0).all()


def test_where_the_network_is_linear_a_batch_counts_like_its_average_image(residual, batches):
    choices = {"synflow_batchnorm": "scale"}
    pixels = [images.double() for images in batches.pixels]
    batches = Batches([], pixels, torch.cat(pixels).mean(0))
    as_batch = scores(residual, batches, **choices, synflow_input="batch")
    as_mean = scores(residual, batches, **choices, synflow_input="mean")
    assert_equal({name: score / 12 for name, score in as_batch.items()}, as_mean)
