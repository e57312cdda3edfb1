"""Clipping the gradient's norm: against a loop of one's own, captured, and of pruned weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundations.hparams import canonical
from pruning import prunable
from tests.training.tape import assert_same, captured, graphs_of, random_masks, steps_of_replays
from training.data import DataHparams, DeviceData
from training.hparams import TrainingHparams
from training.loop import clip_gradients, train
from training.optimizers import make_optimizer
from training.state import TrainState

Start = Callable[..., TrainState]
NORM = 0.3  # below that of most steps here


def hyperparameters(**others: Any) -> TrainingHparams:
    given: dict[str, Any] = {"lr": 2**-4, "training_steps": "4ep", "clip_grad_norm": NORM, **others}
    return TrainingHparams(**given)


def norm(model: nn.Module) -> Tensor:
    """Of all gradients together, in double precision."""
    squares = [parameter.grad.double().square().sum() for parameter in model.parameters() if parameter.grad is not None]
    return torch.stack(squares).sum().sqrt()


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_it_is_pytorchs_clipping_in_a_loop(start: Start, small_data: DeviceData, optimizer: str) -> None:
    hparams = hyperparameters(optimizer=optimizer)
    ours, theirs = start(hparams), start(hparams)
    train(ours, small_data, hparams, until=7)
    steps, norms = make_optimizer(hparams, theirs.model), []
    theirs.model.train()
    for epoch, last in ((0, 5), (1, 2)):
        for batch in small_data.batches(theirs.noise.epoch(epoch), 0, last):
            inputs, labels = small_data.fetch(batch)
            steps.zero_grad()
            F.cross_entropy(theirs.model(inputs), labels).backward()
            norms.append(nn.utils.clip_grad_norm_(theirs.model.parameters(), NORM).item())
            steps.step()
    assert max(norms) > NORM
    for one, other in zip(ours.model.state_dict().values(), theirs.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_larger_gradient_is_scaled_down_and_a_smaller_one_is_left(start: Start) -> None:
    state = start(hyperparameters())
    for parameter in state.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = norm(state.model)
    clip_gradients(state, 2 * before.item())
    assert norm(state.model) == before
    clip_gradients(state, 0.5)
    assert norm(state.model).item() == pytest.approx(0.5, rel=1e-4)


def test_pruned_weights_have_no_part_in_the_norm(start: Start) -> None:
    """A gradient of 1 everywhere: with n weights kept the norm is the root of n, with their biases of course."""
    state = start(hyperparameters())
    [mask] = random_masks(state, 1)
    state.prune(mask)
    for parameter in state.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    others = sum(parameter.numel() for parameter in state.model.parameters()) - mask.total
    clip_gradients(state, 1.0)
    kept = [parameter.grad[mask[name]] for name, parameter in prunable(state.model).items()]
    assert torch.cat(kept).unique().item() == pytest.approx((mask.kept + others) ** -0.5, rel=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_is_in_the_captured_step(start: Start, small_data: DeviceData, precision: str) -> None:
    data = DeviceData(small_data.dataset, DataHparams(dataset="digits", batch_size=13), small_data.device)
    hparams = hyperparameters(precision=precision)
    plain, fast = start(hparams), captured(start(hparams))
    [mask] = random_masks(plain, 1)
    for state in (plain, fast):
        state.prune(mask)
        train(state, data, hparams, until=44)
    assert graphs_of(fast).captured == 2
    assert steps_of_replays(fast) == [1, 10]
    assert_same(plain, fast)


def test_it_is_in_the_key_only_if_it_is_asked_for() -> None:
    assert "clip_grad_norm" not in canonical(TrainingHparams())
    assert canonical(hyperparameters())["clip_grad_norm"] == NORM
