"""Training against a loop in plain PyTorch, dense and masked, with every optimizer."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn, optim

from adsynflow import DeviceData, Noise, Seeds, TrainingHparams, TrainState, evaluate, prune, train
from tests.zoo.looking import images, made, multiplied, unless_refused, used

CPU = torch.device("cpu")
PLAIN: dict[str, Callable[..., optim.Optimizer]] = {
    "sgd": lambda weights: optim.SGD(weights, lr=0.05, weight_decay=1e-3),
    "momentum": lambda weights: optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda weights: optim.SGD(weights, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda weights: optim.Adam(weights, lr=0.01, weight_decay=1e-3),
    "adamw": lambda weights: optim.AdamW(weights, lr=0.01, weight_decay=1e-3),
}


def hparams(optimizer: str, steps: int) -> TrainingHparams:
    lr = 0.01 if optimizer.startswith("adam") else 0.05
    return TrainingHparams(optimizer=optimizer, lr=lr, weight_decay=1e-3, training_steps=f"{steps}it")


def plainly_trained(model: nn.Module, steps: int, data: DeviceData, memory_format: torch.memory_format) -> nn.Module:
    """What anybody would write, for the same images in the same order; dropout goes through them as they lie."""
    noise = Noise(Seeds(1))
    optimizer = PLAIN["momentum"]([weight for weight in model.parameters() if weight.requires_grad])
    for number, batch in enumerate(data.batches(noise.epoch(0), 0, steps)):
        inputs, labels = data.fetch(batch)
        torch.manual_seed(noise.step(number))
        optimizer.zero_grad()
        F.cross_entropy(model(inputs.clone(memory_format=memory_format)), labels).backward()
        optimizer.step()
    return model


def test_dense_training_is_that_of_plain_pytorch(name: str, digits: DeviceData) -> None:
    with unless_refused(name, "train"):
        state = TrainState.fresh(made(name).train(), hparams("momentum", 5), Noise(Seeds(1)), CPU)
        train(state, digits, hparams("momentum", 5), until=5)
        expected = plainly_trained(made(name).train(), 5, digits, state.memory_format)
        torch.testing.assert_close(state.model.state_dict(), expected.state_dict(), rtol=1e-4, atol=1e-6)
        with torch.no_grad():
            torch.testing.assert_close(state.model.eval()(images()), expected.eval()(images()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", PLAIN)
def test_after_ten_masked_steps_what_is_pruned_is_zero_where_it_is_multiplied(
    name: str, optimizer: str, digits: DeviceData, batches: list[tuple[Tensor, Tensor]]
) -> None:
    with unless_refused(name, "train", "prune"):
        model = made(name).train()
        state = TrainState.fresh(model, hparams(optimizer, 10), Noise(Seeds(1)), CPU)
        mask = prune("random", model, batches, density=0.3)
        state.prune(mask)
        train(state, digits, hparams(optimizer, 10), until=10)
        away = sum(int((~mask[layer]).sum()) for layer in mask.keys() & used(made(name)))
        assert multiplied(state.model) <= multiplied(made(name), zeros=True) - away


def test_evaluation_is_that_of_plain_pytorch(name: str, digits: DeviceData) -> None:
    with unless_refused(name, "evaluate"), torch.no_grad():
        model = made(name).eval()
        result = evaluate(model, digits.evaluation_batches("test"))
        [(inputs, labels)] = digits.evaluation_batches("test")
        scores = model(inputs.clone(memory_format=torch.contiguous_format))
        assert result["accuracy"] == pytest.approx(float((scores.argmax(1) == labels).double().mean()))
        assert result["loss"] == pytest.approx(float(F.cross_entropy(scores, labels)), rel=1e-4)
