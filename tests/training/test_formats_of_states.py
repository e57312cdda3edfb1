"""An optimizer's state lies in memory as its parameters do, wherever it comes from.

Fused optimizers go through weights, gradients and state as they lie in memory: with other strides they pair a weight
with the state of another one.
"""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from foundations.seeds import Seeds
from models import ModelHparams, build
from pruning import Mask
from training import state as training_state
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import train
from training.optimizers import load_state, make_optimizer, with_hparams
from training.state import Noise, TrainState

OPTIMIZERS = ("momentum", "adam")
FLIPPING = ("cifar_resnet_8", "cifar_resnet_8_24", "cifar_resnet_20")
"""Channels-last; once compacted they have strided 1x1 convolutions of under 16 channels, so are channels-first."""
OTHERS = ("cifar_resnet_8_12", "cifar_vgg_11", "mnist_lenet_40_24")
PRUNED_AT = 2


def hyperparameters(optimizer: str) -> TrainingHparams:
    return TrainingHparams(optimizer=optimizer, lr=0.01, momentum=0.9, weight_decay=5e-4, training_steps="2ep")


def to_double(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.double() for tensor in inputs)


def make_state(model: str, data: DeviceData, hparams: TrainingHparams) -> TrainState:
    """A fresh state in float64."""
    network = build(ModelHparams(model=model), data.shape, torch.Generator().manual_seed(1)).double()
    network.register_forward_pre_hook(to_double)
    return TrainState.fresh(network, hparams, Noise(Seeds(1)), torch.device("cpu"))


def first_channels(model: nn.Module) -> Mask:
    """Keeps the weights that lead from the first third of each layer's channels: from under 16 in a first block."""
    mask = {name: entry.clone() for name, entry in Mask.ones(model).items()}
    for entry in list(mask.values())[1:]:
        entry[:, max(8, entry.shape[1] // 3) :] = False
    return Mask(mask)


def assert_strides(state: TrainState) -> None:
    """Every tensor shaped like its parameter lies like it."""
    for parameter, entries in state.optimizer.state.items():
        for key, value in entries.items():
            if value.shape == parameter.shape:
                assert value.stride() == parameter.stride(), key


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", [*FLIPPING, *OTHERS])
def test_a_compact_network_trains_like_the_masked_one(model: str, optimizer: str, small_data: DeviceData) -> None:
    hparams = hyperparameters(optimizer)
    masked = make_state(model, small_data, hparams)
    train(masked, small_data, hparams, until=PRUNED_AT)
    small = make_state(model, small_data, hparams)
    small.restore(copy.deepcopy(masked.capture()))
    for state in (masked, small):
        state.prune(first_channels(state.model))
    small.compact(hparams)
    assert (small.memory_format != masked.memory_format) == (model in FLIPPING)
    assert small.compaction is not None
    places = small.compaction.places
    assert places.places
    for steps in (1, 3):
        for state in (masked, small):
            train(state, small_data, hparams, until=PRUNED_AT + steps)
        wanted, found = places.shrink(masked.tensors()), places.shrink(small.tensors())
        for name, tensor in wanted.items():
            torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6, msg=f"{name} after {steps} steps")
        assert_strides(small)


@pytest.mark.parametrize("there", [torch.channels_last, torch.contiguous_format], ids=["last", "first"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_checkpoint_goes_to_another_memory_format_and_back(
    optimizer: str, there: torch.memory_format, small_data: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a CPU, on which a narrow ResNet is channels-first, to CUDA, on which none is."""
    hparams = hyperparameters(optimizer)

    def state_in(memory_format: torch.memory_format) -> TrainState:
        monkeypatch.setattr(training_state, "find_memory_format", lambda model, device: memory_format)
        state = make_state("cifar_resnet_8", small_data, hparams)
        assert state.memory_format == memory_format
        return state

    [back] = {torch.channels_last, torch.contiguous_format} - {there}
    whole = state_in(back)
    train(whole, small_data, hparams, until=6)
    travelling = state_in(back)
    for memory_format, until in ((back, 2), (there, 4), (back, 6)):
        arrived = state_in(memory_format)
        arrived.restore(copy.deepcopy(travelling.capture()))
        train(arrived, small_data, hparams, until=until)
        assert_strides(arrived)
        travelling = arrived
    for name, tensor in whole.tensors().items():
        torch.testing.assert_close(travelling.tensors()[name], tensor, rtol=0, atol=1e-9, msg=name)


def test_changed_hyperparameters_take_the_state_along_in_the_format_of_the_weights(small_data: DeviceData) -> None:
    hparams = hyperparameters("momentum")
    state = make_state("cifar_resnet_8", small_data, hparams)
    train(state, small_data, hparams, until=1)
    other = copy.deepcopy(state.model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    changed = with_hparams(state.optimizer, replace(hparams, lr=0.5), other)
    for before, parameter in zip(state.model.parameters(), other.parameters(), strict=True):
        buffer = changed.state[parameter]["momentum_buffer"]
        assert buffer.stride() == parameter.stride()
        assert torch.equal(buffer, state.optimizer.state[before]["momentum_buffer"])


def test_what_is_not_shaped_like_a_weight_is_loaded_as_it_is() -> None:
    model = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    first, second = (make_optimizer(hyperparameters("adam"), model) for _ in range(2))
    model(torch.randn(1, 4, 5, 5)).sum().backward()
    first.step()
    load_state(second, first.state_dict())
    for entries in second.state.values():
        assert entries["step"] == 1
