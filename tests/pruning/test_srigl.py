"""SRigL by hand: fan-in, neurons given up, and what compaction makes of them."""

import pytest
import torch
from torch import Tensor, nn

from pruning import Mask, PruningHparams, UpdateProgress, prunable, prune, strategies
from pruning.compaction import compact

FIRST = UpdateProgress(0.0, 0.5, PruningHparams())
"""At which the whole ``drop_fraction`` is exchanged."""


def two_layers(first: list[list[float]], then: list[list[float]]) -> nn.Sequential:
    model = nn.Sequential(nn.Flatten(), *(nn.Linear(len(rows[0]), len(rows), bias=False) for rows in (first, then)))
    for layer, rows in zip(model[1:], (first, then), strict=True):
        layer.weight.data = torch.tensor(rows)
    return model


def updated(model: nn.Module, gradients: dict[str, list[list[float]]], **fields: float) -> dict[str, list[list[int]]]:
    kept = Mask({name: weight != 0 for name, weight in prunable(model).items()})
    slopes = {name: torch.tensor(rows) for name, rows in gradients.items()}
    found = strategies.get("srigl")(**fields).update(model, kept, slopes, torch.Generator(), FIRST)
    assert {name: int(rows.sum()) for name, rows in found.items()} == {n: int(rows.sum()) for n, rows in kept.items()}
    return {name: rows.int().tolist() for name, rows in found.items()}


LAST = [[1.0, 1.0], [1.0, 1.0]]


def test_weights_are_exchanged_over_the_layer_and_grow_by_neuron() -> None:
    """Of the kept 4, 3, 2, 1 the halves 4, 3 stay, both the first neuron's; the second grows its two gradients."""
    model = two_layers([[4.0, 3.0, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0]], LAST)
    gradients = {"1.weight": [[0.0, 0.0, 9.0, 8.0], [1.0, 2.0, 7.0, 6.0]], "2.weight": LAST}
    found = updated(model, gradients, drop_fraction=0.5, gamma_sal=0.0)
    assert found["1.weight"] == [[1, 1, 0, 0], [0, 0, 1, 1]]


def test_a_neuron_without_salient_weights_goes_and_the_others_have_its_weights() -> None:
    """4 and 3 stay, and the largest gradients are the first neuron's, too: it takes the fan-in of both."""
    model = two_layers([[4.0, 3.0, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0]], LAST)
    gradients = {"1.weight": [[0.0, 0.0, 9.0, 8.0], [1.0, 2.0, 7.0, 6.0]], "2.weight": LAST}
    found = updated(model, gradients, drop_fraction=0.5, gamma_sal=0.3)
    assert found["1.weight"] == [[1, 1, 1, 1], [0, 0, 0, 0]]


@pytest.mark.parametrize(("share", "neurons"), [(0.5, 2), (0.51, 1)])
def test_how_few_salient_weights_are_too_few(share: float, neurons: int) -> None:
    """Three salient weights in the first neuron, one in the second, which is half of the fan-in of two."""
    model = two_layers([[4.0, 3.0, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0]], LAST)
    gradients = {"1.weight": [[0.0, 0.0, 9.0, 0.0], [0.0, 0.0, 8.0, 0.0]], "2.weight": LAST}
    found = updated(model, gradients, drop_fraction=0.5, gamma_sal=share)
    assert sum(any(row) for row in found["1.weight"]) == neurons


def test_as_many_neurons_stay_as_hold_the_weights_of_the_layer() -> None:
    model = two_layers([[4.0, 3.0], [2.0, 0.0]], LAST)
    found = updated(model, {"1.weight": [[0.0, 0.0], [0.0, 1.0]], "2.weight": LAST}, gamma_sal=1.0)
    assert found["1.weight"] == [[1, 1], [1, 0]]


def test_what_reads_an_ablated_neuron_goes_first_and_the_last_layer_keeps_its_neurons() -> None:
    """The readers of neuron 1 are the larger ones, and have the larger gradients, but read a constant."""
    model = two_layers(
        [[4.0, 3.0, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0], [5.0, 6.0, 0.0, 0.0]], [[0.0, 9.0, 1.0], [0.0, 8.0, 0.0]]
    )
    gradients = {
        "1.weight": [[9.0, 9.0, 9.0, 9.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 8.0]],
        "2.weight": [[2.0, 9.0, 1.0], [1.0, 9.0, 2.0]],
    }
    found = updated(model, gradients, drop_fraction=0.34, gamma_sal=0.3)
    assert [any(row) for row in found["1.weight"]] == [True, False, True]
    assert found["2.weight"] == [[1, 0, 1], [0, 0, 1]]


def test_the_first_mask_has_fan_ins_that_differ_by_one_at_most() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(16, 10))
    mask = prune("srigl", model, density=0.3)
    assert mask.kept == round(0.3 * mask.total)
    for name, kept in mask.items():
        fan_ins = kept.flatten(1).sum(1)
        assert fan_ins.max() - fan_ins.min() <= 1, name
    assert prune("srigl", model, density=0.3) == mask
    assert {name: int(k.sum()) for name, k in prune("random_erk", model, density=0.3).items()} == {
        name: int(k.sum()) for name, k in mask.items()
    }


def test_ablated_neurons_are_what_compaction_takes_out() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Flatten(), nn.Linear(6 * 16, 10),
    )  # fmt: skip
    srigl = strategies.get("srigl")(gamma_sal=1.0)
    mask = prune(srigl, model, density=0.2)
    mask.apply_(model)
    slopes: dict[str, Tensor] = {name: torch.randn(weight.shape) for name, weight in prunable(model).items()}
    for _ in range(3):
        mask = srigl.update(model, mask, slopes, torch.Generator(), FIRST)
        mask.apply_(model)
    alive = [int(mask[name].flatten(1).any(1).sum()) for name in ("0.weight", "3.weight")]
    assert alive[0] < 8
    assert alive[1] < 6
    assert mask.kept == round(0.2 * mask.total)
    small = compact(model, mask, round_to=1).model
    assert [small[0].out_channels, small[3].out_channels] == alive
