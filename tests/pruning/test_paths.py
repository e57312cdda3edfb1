"""Kept weights that lie on no path, against brute force over all paths."""

import itertools

import pytest
import torch
from torch import nn

from pruning import Mask, effective_mask, has_path, prunable
from tests.pruning.conftest import residual_network


def random_mask(model: nn.Module, density: float, seed: int) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    return Mask({
        name: torch.rand(weight.shape, generator=generator) < density for name, weight in prunable(model).items()
    })  # fmt: skip


def on_some_path(mask: Mask) -> dict[str, torch.Tensor]:
    """Of a chain of linear layers: all paths, one unit of each layer, are walked through."""
    found = {name: torch.zeros_like(kept) for name, kept in mask.items()}
    layers = list(mask.items())
    widths = [layers[0][1].shape[1], *(len(kept) for _, kept in layers)]
    for units in itertools.product(*map(range, widths)):
        steps = [(name, units[place + 1], units[place]) for place, (name, _) in enumerate(layers)]
        if all(mask[name][out, into] for name, out, into in steps):
            for name, out, into in steps:
                found[name][out, into] = True
    return found


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_it_is_what_all_paths_of_a_tiny_network_say(seed: int, activation: type[nn.Module]) -> None:
    model = nn.Sequential(
        nn.Linear(3, 4), activation(), nn.Linear(4, 4), nn.LayerNorm(4), activation(), nn.Linear(4, 2)
    )
    mask = random_mask(model, 0.35, seed)
    expected = on_some_path(mask)
    effective = effective_mask(model, mask, (3,))
    assert effective == Mask(expected)
    assert has_path(model, mask, (3,)) == any(entry.any() for entry in expected.values())


def test_by_hand() -> None:
    """The second hidden unit is heard by nobody, the third hears nobody."""
    model = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
    mask = Mask({"0.weight": torch.tensor([[True], [True], [False]]), "2.weight": torch.tensor([[True, False, True]])})
    effective = effective_mask(model, mask, (1,))
    assert effective["0.weight"].tolist() == [[True], [False], [False]]
    assert effective["2.weight"].tolist() == [[True, False, False]]


def flow(model: nn.Module, mask: Mask) -> float:
    """The number of paths from input to output, through convolutions and identities; pooling divides it."""
    network = nn.Sequential(*[nn.Identity() if isinstance(one, nn.BatchNorm2d) else one for one in model]).double()
    for block in network.modules():
        for name in ("bn1", "bn2"):
            if hasattr(block, name):
                setattr(block, name, nn.Identity())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0)
        for name, weight in prunable(network).items():
            weight.copy_(mask[name])
        return float(network(torch.ones(1, 2, 8, 8, dtype=torch.float64)).sum())


def test_in_a_residual_network_it_is_what_changes_the_number_of_paths() -> None:
    mask = random_mask(residual_network(), 0.08, 3)
    effective = effective_mask(residual_network(), mask, (2, 8, 8))
    paths = flow(residual_network(), mask)
    assert 0 < effective.kept < mask.kept
    for name, kept in mask.items():
        for place in kept.nonzero().tolist():
            without = kept.clone()
            without[tuple(place)] = False
            changed = flow(residual_network(), Mask({**mask, name: without})) != paths
            assert changed == bool(effective[name][tuple(place)]), (name, place)


def test_a_maximum_hears_all_that_it_is_taken_over() -> None:
    """By the first maximum alone, three of the four hidden units would be on no path."""
    model = nn.Sequential(
        nn.Linear(1, 4), nn.Unflatten(1, (1, 4)), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(1, 1)
    )  # fmt: skip
    assert effective_mask(model, Mask.ones(model), (1,)) == Mask.ones(model)
    pooled = nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(2, 1))
    assert effective_mask(pooled, Mask.ones(pooled), (1, 4, 4)) == Mask.ones(pooled)


def test_a_weight_that_meets_only_padding_does_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(1, 1))
    effective = effective_mask(model, Mask.ones(model), (1, 1, 1))
    assert effective["0.weight"][0, 0].int().tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_nothing_overflows_in_a_deep_network_and_the_model_stays_as_it_is() -> None:
    model = nn.Sequential(*[layer for _ in range(200) for layer in (nn.Linear(64, 64), nn.Tanh())])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        assert effective_mask(model, Mask.ones(model), (64,)) == Mask.ones(model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
