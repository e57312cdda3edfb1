import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from pruning import Mask, ignored_layers, make_dense, prunable


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


def test_a_parameter_with_gaps_gets_memory_of_its_own_and_stays_the_same_object():
    wide = torch.arange(12.0).view(3, 4)
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].weight = sliced = nn.Parameter(wide[:, :2])
    model[1].weight = model[2].weight = tied = nn.Parameter(torch.arange(16.0).view(4, 4).t()[:3, :3])
    make_dense(model)
    assert model[0].weight is sliced
    assert model[2].weight is model[1].weight is tied
    assert sliced.is_contiguous()
    assert sliced.tolist() == [[0, 1], [4, 5], [8, 9]]
    assert tied.is_contiguous()
    assert wide.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_parameters_without_gaps_stay_where_they_are():
    """Those of one flat vector, and a transposed one, whose gradient PyTorch transposes likewise."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    model[1].weight = nn.Parameter(torch.zeros(3, 2).t())
    vector = nn.utils.parameters_to_vector(model[0].parameters()).detach()
    nn.utils.vector_to_parameters(vector, model[0].parameters())
    places = [parameter.data_ptr() for parameter in model.parameters()]
    make_dense(model)
    assert [parameter.data_ptr() for parameter in model.parameters()] == places


def test_interleaved_slices_are_parted_but_shared_entries_are_refused():
    wide = torch.arange(16.0).view(2, 8)
    model = nn.Sequential(nn.Linear(4, 2, bias=False), nn.Linear(4, 2, bias=False))
    model[0].weight, model[1].weight = nn.Parameter(wide[:, ::2]), nn.Parameter(wide[:, 1::2])
    make_dense(model)
    assert model[1].weight.tolist() == [[1, 3, 5, 7], [9, 11, 13, 15]]
    model[0].weight, model[1].weight = nn.Parameter(wide[:, :4]), nn.Parameter(wide[:, 3:7])
    with pytest.raises(UsageError, match=r"0.weight and 1.weight share memory, and 0.weight has gaps"):
        make_dense(model)


def test_a_mask_is_applied_to_dense_parameters_in_anybodys_loop():
    model = nn.Sequential(nn.Linear(2, 3, bias=False))
    model[0].weight = nn.Parameter(torch.ones(3, 4)[:, :2])
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, fused=True)
    apply_mask = Mask({"0.weight": torch.tensor([[True, False]] * 3)}).applier(model)
    (model(torch.eye(2)).sum() * torch.tensor(0.5)).backward()
    optimizer.step()
    apply_mask()
    assert model[0].weight.tolist() == [[0.5, 0.0]] * 3
