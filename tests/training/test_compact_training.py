"""Training a compact network through the training state: what is saved is the full network's."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from foundations.seeds import Seeds
from foundations.steps import Step
from models import ModelHparams, build
from pruning import Mask, PruningHparams, prune, strategies
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import train
from training.state import Noise, TrainState

HPARAMS = TrainingHparams(lr=0.05, momentum=0.9, weight_decay=5e-4, training_steps=Step("5ep"))
PRUNED_AT, END = 3, 23


def to_double(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.double() for tensor in inputs)


def make_state(data: DeviceData, hparams: TrainingHparams = HPARAMS) -> TrainState:
    """A fresh state in float64."""
    model = build(ModelHparams(model="cifar_resnet_8"), data.shape, torch.Generator().manual_seed(1)).double()
    model.register_forward_pre_hook(to_double)
    return TrainState.fresh(model, hparams, Noise(Seeds(1)), torch.device("cpu"))


def make_mask(state: TrainState, data: DeviceData) -> Mask:
    generator = torch.Generator().manual_seed(2)
    batches = data.pruning_batches(1, 16, generator)
    hparams = PruningHparams(pruning_iterations=5)
    return prune(strategies.get("synflow")(), state.model, batches, hparams, 0.02, generator)


def pruned(data: DeviceData, hparams: TrainingHparams = HPARAMS, *, compact: bool, at: int = PRUNED_AT) -> TrainState:
    """The state at step ``at``, masked there."""
    state = make_state(data, hparams)
    train(state, data, hparams, until=at)
    state.prune(make_mask(state, data))
    if compact:
        state.compact(hparams)
    return state


def width(state: TrainState) -> int:
    return len(state.model.get_parameter("layer3.0.conv1.weight"))


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov", "adamw"])
def test_the_full_network_is_that_of_masked_training(optimizer: str, small_data: DeviceData) -> None:
    hparams = TrainingHparams.from_dict({**HPARAMS.to_dict(), "optimizer": optimizer, "lr": 0.01})
    masked, small = pruned(small_data, hparams, compact=False), pruned(small_data, hparams, compact=True)
    assert width(small) < width(masked)
    assert small.compaction is not None
    places = small.compaction.places
    for state in (masked, small):
        train(state, small_data, hparams, until=END)
    assert torch.allclose(small.running_metrics, masked.running_metrics, rtol=0, atol=1e-9)

    wanted, found = masked.tensors(), small.tensors()
    for name, _ in masked.model.named_parameters():  # with what was taken out
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-9, msg=name)
    wanted, found = places.shrink(wanted), places.shrink(found)
    for name, tensor in wanted.items():  # with BatchNorm's statistics
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-9, msg=name)
    assert_state_of_kept_weights(small, masked)


def assert_state_of_kept_weights(small: TrainState, masked: TrainState) -> None:
    """Pruned weights have gradients in masked training; the state of the others is the same, taken out or not."""
    assert masked.mask is not None
    wanted, found = (state.training_state()["optimizer"] for state in (masked, small))
    assert found["param_groups"] == wanted["param_groups"]
    assert found["state"].keys() == wanted["state"].keys()
    for number, (name, _) in enumerate(masked.model.named_parameters()):
        kept = masked.mask[name] if name in masked.mask else slice(None)
        for key, value in wanted["state"][number].items():
            where = ... if value.dim() == 0 else kept
            torch.testing.assert_close(
                found["state"][number][key][where], value[where], rtol=0, atol=1e-9, msg=f"{key} of {name}"
            )


def test_its_gradient_is_clipped_like_that_of_masked_training(small_data: DeviceData) -> None:
    hparams = replace(HPARAMS, clip_grad_norm=0.5)
    masked, small = pruned(small_data, hparams, compact=False), pruned(small_data, hparams, compact=True)
    plain = pruned(small_data, hparams, compact=False)
    for state, how in ((masked, hparams), (small, hparams), (plain, HPARAMS)):
        train(state, small_data, how, until=END)
    for name, _ in masked.model.named_parameters():
        assert torch.allclose(small.tensors()[name], masked.tensors()[name], rtol=0, atol=1e-9)
    assert not torch.allclose(plain.tensors()["conv1.weight"], masked.tensors()["conv1.weight"], rtol=0, atol=1e-3)


def test_without_a_step_the_trunks_state_is_found_again(small_data: DeviceData) -> None:
    masked, small = pruned(small_data, compact=False), pruned(small_data, compact=True)
    assert same(small.capture(), masked.capture())


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_an_optimizer_that_has_no_state_yet_gets_the_same(optimizer: str, small_data: DeviceData) -> None:
    hparams = TrainingHparams.from_dict({**HPARAMS.to_dict(), "optimizer": optimizer, "lr": 0.01})
    masked, small = (pruned(small_data, hparams, compact=compact, at=0) for compact in (False, True))
    for state in (masked, small):
        train(state, small_data, hparams, until=3)
    assert_state_of_kept_weights(small, masked)


def test_what_is_captured_has_the_full_shapes(small_data: DeviceData) -> None:
    masked, small = pruned(small_data, compact=False), pruned(small_data, compact=True)
    for state in (masked, small):
        train(state, small_data, HPARAMS, until=END)
    full, expanded = masked.capture(), small.capture()
    assert shapes(expanded) == shapes(full)
    assert Mask(expanded["mask"]) == masked.mask
    for name, weight in expanded["model"].items():
        if masked.mask is not None and name in masked.mask:
            assert not weight[~masked.mask[name]].any(), f"{name} is not masked"


def shapes(value: object) -> object:
    if isinstance(value, Tensor):
        return value.shape
    if isinstance(value, dict):
        return {key: shapes(entry) for key, entry in value.items()}
    return value


def test_a_compact_training_goes_on_from_a_checkpoint_bit_for_bit(small_data: DeviceData) -> None:
    whole, first, second = (pruned(small_data, compact=True) for _ in range(3))
    train(whole, small_data, HPARAMS, until=END)
    train(first, small_data, HPARAMS, until=10)
    second.restore(copy.deepcopy(first.capture()))
    train(second, small_data, HPARAMS, until=END)
    assert same(second.capture(), whole.capture())


def same(first: object, second: object) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    return first == second
