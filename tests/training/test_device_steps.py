"""What a step does on a device, shown on PyTorch's meta device, whose tensors have no values.

Whatever asks it for a value (``.item()``, a branch on a tensor, a copy to the CPU) fails there, and so does whatever
mixes tensors of two devices. On a GPU the first would make every step wait.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foundations.reporting import Reporter
from foundations.seeds import Seeds
from models import ModelHparams, build
from pruning import Mask
from training.data import DataHparams, DeviceData, load
from training.hparams import TrainingHparams
from training.loop import train
from training.state import Noise, TrainState

META = torch.device("meta")


@pytest.fixture(scope="module")
def distant_data() -> DeviceData:
    """1,442 digits, cropped and flipped, in batches of 256: the last of the six of an epoch is smaller."""
    hparams = DataHparams(dataset="digits", batch_size=256)
    return DeviceData(replace(load(hparams, Path(), Reporter()), crop_padding=1, flip=True), hparams, META)


def distant_state(model: str, data: DeviceData, hparams: TrainingHparams) -> TrainState:
    network = build(ModelHparams(model=model), data.shape, Seeds(1).generator("initialization"))
    state = TrainState.fresh(network, hparams, Noise(Seeds(1)), META)
    for group in state.optimizer.param_groups:
        group["fused"] = False  # there is no fused optimizer on this device
    return state


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam", "adamw"])
@pytest.mark.parametrize("model", ["mnist_lenet_16", "cifar_vgg_11", "cifar_resnet_8_4"])
def test_no_step_asks_the_device_for_a_value(model: str, optimizer: str, distant_data: DeviceData) -> None:
    hparams = TrainingHparams(optimizer=optimizer)
    state = distant_state(model, distant_data, hparams)
    train(state, distant_data, hparams, until=2)
    generator = torch.Generator().manual_seed(0)
    kept = {
        name: torch.rand(weight.shape, generator=generator) < 0.5 for name, weight in Mask.ones(state.model).items()
    }
    state.prune(Mask(kept))
    train(state, distant_data, hparams, until=7)
    assert state.iteration == 7


def test_asking_for_a_value_fails_there(distant_data: DeviceData) -> None:
    state = distant_state("mnist_lenet_16", distant_data, TrainingHparams())
    with pytest.raises(RuntimeError, match="meta"):
        state.running_metrics[0].item()
