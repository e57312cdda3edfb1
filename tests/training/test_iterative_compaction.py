"""Iterative pruning of compact networks finds the masks that it finds in masked ones."""

import copy

import pytest
import torch
from torch import Tensor, nn, optim

from foundations.seeds import Seeds
from models import ModelHparams, build
from pruning import Mask, PruningHparams, prune, strategies
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import train
from training.optimizers import optimizers
from training.state import Noise, TrainState

K, END = 5, 40
FRACTION = 0.8  # of the weights that each level takes away
TRAININGS = {
    "sgd": {"optimizer": "sgd", "weight_decay": 5e-3},
    "momentum": {"optimizer": "momentum", "momentum": 0.9},
    "momentum and decay": {"optimizer": "momentum", "momentum": 0.9, "weight_decay": 5e-3},
    "nesterov": {"optimizer": "nesterov", "momentum": 0.9, "weight_decay": 5e-3},
    "adam": {"optimizer": "adam", "lr": 0.002, "weight_decay": 5e-3},
    "adamw": {"optimizer": "adamw", "lr": 0.002, "weight_decay": 0.5},
}


def to_double(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.double() for tensor in inputs)


def make_state(data: DeviceData, hparams: TrainingHparams) -> TrainState:
    """A fresh state in float64."""
    hidden = ModelHparams(model="mnist_lenet_60_30")
    model = build(hidden, data.shape, torch.Generator().manual_seed(1)).double()
    model.register_forward_pre_hook(to_double)
    return TrainState.fresh(model, hparams, Noise(Seeds(1)), torch.device("cpu"))


def levels(data: DeviceData, hparams: TrainingHparams, *, compact: bool) -> list[Mask]:
    """The masks of three levels, each trained from step K on and pruned by magnitude."""
    trunk = make_state(data, hparams)
    train(trunk, data, hparams, until=K)
    at_k = copy.deepcopy(trunk.capture())
    train(trunk, data, hparams, until=END)
    trained, masks = trunk.tensors(), [Mask.ones(trunk.model)]
    strategy = strategies.get("sparse_global")()
    for level in (1, 2, 3):
        scored = make_state(data, hparams).model
        scored.load_state_dict(trained)
        batches = data.pruning_batches(1, 8, torch.Generator().manual_seed(0))
        density = (1 - FRACTION) ** level
        masks.append(prune(strategy, scored, batches, PruningHparams(), density, torch.Generator(), masks[-1]))
        state = make_state(data, hparams)
        state.restore(copy.deepcopy(at_k))
        state.prune(masks[-1])
        if compact:
            state.compact(hparams)
            assert state.compaction is not None
            assert level == 1 or state.compaction.removed, "there is something to get wrong"
        train(state, data, hparams, until=END)
        trained = state.tensors()
    return masks[1:]


def differing(first: Mask, second: Mask) -> int:
    return sum(int((first[name] != second[name]).sum()) for name in first)


def writes_to_gradients(hparams: TrainingHparams, model: nn.Module) -> optim.Optimizer:
    """Nesterov's momentum, not fused: PyTorch adds it to the gradients in place."""
    return optim.SGD(model.parameters(), lr=hparams.lr, momentum=0.9, nesterov=True, foreach=True)


@pytest.mark.parametrize("training", TRAININGS)
def test_the_masks_are_those_of_masked_training(training: str, small_data: DeviceData) -> None:
    """With a learning rate that changes: each step of what was taken out has the rate of the step."""
    schedule = {"warmup_steps": "10it", "milestone_steps": ["25it"], "gamma": 0.1, "training_steps": "8ep"}
    hparams = TrainingHparams.from_dict({"lr": 0.1, **schedule, **TRAININGS[training]})
    masked = levels(small_data, hparams, compact=False)
    compact = levels(small_data, hparams, compact=True)
    assert [differing(*pair) for pair in zip(masked, compact, strict=True)] == [0, 0, 0]


def test_an_optimizer_may_write_to_gradients(small_data: DeviceData) -> None:
    optimizers.register("writes_to_gradients")(writes_to_gradients)
    hparams = TrainingHparams(optimizer="writes_to_gradients", lr=0.1, training_steps="8ep")
    masked, compact = (levels(small_data, hparams, compact=compact) for compact in (False, True))
    assert [differing(*pair) for pair in zip(masked, compact, strict=True)] == [0, 0, 0]
