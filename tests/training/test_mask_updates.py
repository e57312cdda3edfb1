"""The gradients that a mask is updated by."""

from collections.abc import Callable

import pytest
import torch

from pruning import Mask, prunable
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import train
from training.mask_updates import next_gradients
from training.state import TrainState

Start = Callable[..., TrainState]
PLAIN = TrainingHparams(optimizer="sgd", lr=0.5, training_steps="3ep", label_smoothing=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("at", [3, 4, 5], ids=["whole batch", "last batch of an epoch", "first of the next"])
@pytest.mark.parametrize("model", ["mnist_lenet_16", "cifar_resnet_8_4"])
def test_they_are_those_of_the_step_that_follows(start: Start, small_data: DeviceData, model: str, at: int) -> None:
    """Without momentum and decay a step moves each weight by -lr times its gradient."""
    state = start(PLAIN, model)
    train(state, small_data, PLAIN, until=at)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    found = next_gradients(state, PLAIN, small_data)
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
    train(state, small_data, PLAIN, until=at + 1)
    for name, weight in prunable(state.model).items():
        torch.testing.assert_close(found[name], (before[name] - weight.detach()) / 0.5, rtol=1e-3, atol=1e-5)


def test_pruned_weights_have_some_too_and_frozen_ones(start: Start, small_data: DeviceData) -> None:
    state = start(PLAIN, "mnist_lenet_16", output_frozen=True)
    mask = Mask({n: torch.arange(w.numel()).view(w.shape) % 3 == 0 for n, w in prunable(state.model).items()})
    state.prune(mask)
    found = next_gradients(state, PLAIN, small_data)
    assert found["fc1.weight"][~mask["fc1.weight"]].any()
    assert found["fc.weight"].any()


def test_grown_weights_start_with_an_optimizer_state_of_zero(start: Start, small_data: DeviceData) -> None:
    hparams = TrainingHparams(optimizer="adam", lr=0.01, training_steps="3ep")  # type: ignore[arg-type]
    state = start(hparams)
    masks = [
        Mask({n: torch.arange(w.numel()).view(w.shape) % 3 == first for n, w in prunable(state.model).items()})
        for first in (0, 1)
    ]
    state.prune(masks[0])
    train(state, small_data, hparams, until=4)
    before = {name: dict(state.optimizer.state[w]) for name, w in prunable(state.model).items()}
    moved = {name: entries["exp_avg"].clone() for name, entries in before.items()}
    state.set_mask(masks[1])
    assert any(moved[name][masks[1][name]].any() for name in moved)
    for name, weight in prunable(state.model).items():
        entries, grown = state.optimizer.state[weight], masks[1][name]
        assert not entries["exp_avg"][grown].any()
        assert not entries["exp_avg_sq"][grown].any()
        assert torch.equal(entries["exp_avg"][~grown], moved[name][~grown])
        assert entries["step"] == 4
    assert state.ever_active == Mask({name: masks[0][name] | masks[1][name] for name in masks[0]})
