import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from pruning import ignored_layers, prunable


def test_weights_of_convolutions_and_linear_layers_in_the_models_order(residual):
    assert list(prunable(residual)) == [
        "0.weight",
        "3.conv1.weight",
        "3.conv2.weight",
        "4.conv1.weight",
        "4.conv2.weight",
        "4.shortcut.weight",
        "7.weight",
    ]


def test_neither_biases_nor_batchnorm():
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.ConvTranspose2d(2, 1, 3), nn.Linear(4, 1))
    assert list(prunable(model)) == ["0.weight", "2.weight", "3.weight"]


def test_the_parameters_themselves_are_returned():
    model = nn.Sequential(nn.Linear(2, 1))
    assert prunable(model)["0.weight"] is model[0].weight


def test_a_weight_shared_by_two_layers_counts_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert list(prunable(model)) == ["0.weight"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("7", {"7.weight"}),
        ("7.weight", {"7.weight"}),
        ("4", {"4.conv1.weight", "4.conv2.weight", "4.shortcut.weight"}),
        ("*.shortcut", {"4.shortcut.weight"}),
        ("?.conv1", {"3.conv1.weight", "4.conv1.weight"}),
    ],
)
def test_layers_are_ignored_by_name_or_pattern(residual, pattern, expected):
    assert ignored_layers(residual, [pattern]) == expected


def test_several_patterns_add_up(residual):
    assert ignored_layers(residual, ("0", "7")) == {"0.weight", "7.weight"}


def test_a_pattern_that_matches_nothing_is_an_error_with_near_misses(residual):
    with pytest.raises(UsageError, match=r"--layers_to_ignore=4.conv: no such layer \(did you mean '4.conv") as error:
        ignored_layers(residual, ["0", "4.conv"])
    assert "layers: 0, 3.conv1, 3.conv2, 4.conv1, 4.conv2, 4.shortcut, 7" in str(error.value)


def test_batchnorm_is_no_layer_to_ignore(residual):
    with pytest.raises(UsageError, match="--layers_to_ignore=1: no such layer"):
        ignored_layers(residual, ["1"])


def test_works_under_inference_and_on_meta_device():
    with torch.device("meta"):
        assert list(prunable(nn.Sequential(nn.Linear(10**6, 10**6)))) == ["0.weight"]
