"""Every strategy on every network: exact counts, nothing changed, what is masked is what is multiplied."""

import copy

import pytest
import torch
from torch import Tensor, nn

from adsynflow import Mask, PruningHparams, prunable, prune, strategies
from tests.zoo.looking import dtype_of, images, made, multiplied, unless_refused, used

STRATEGIES = [name for name in strategies.names() if name not in ("imported", "none")]


def everything(model: nn.Module) -> dict[str, Tensor]:
    """Parameters, buffers and gradients, as they lie in memory."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    tensors |= {f"{name}.grad": p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {name: tensor.data for name, tensor in tensors.items()}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_strategy_keeps_exactly_what_it_is_asked_for_and_changes_nothing(
    name: str, strategy: str, batches: list[tuple[Tensor, Tensor]]
) -> None:
    with unless_refused(name, "prune", strategy):
        model = made(name)
        before = copy.deepcopy(everything(model))
        once = PruningHparams(**{**strategies.get(strategy).pruning_defaults(), "pruning_iterations": 2})
        mask = prune(strategy, model, batches, once, density=0.3)
        sizes = [weight.numel() for weight in prunable(model).values()]
        expected = map(round, [0.3 * size for size in sizes] if once.pruning_scope == "layer" else [0.3 * sum(sizes)])
        assert sum(int(kept.sum()) for kept in mask.values()) == sum(expected)
        torch.testing.assert_close(everything(model), before, rtol=0, atol=0)


def test_what_a_mask_takes_away_is_not_multiplied(name: str, batches: list[tuple[Tensor, Tensor]]) -> None:
    with unless_refused(name, "prune"):
        model, mask = made(name), prune("random", made(name), batches, density=0.3)
        mask.apply_(model)
        away = sum(int((~mask[layer]).sum()) for layer in mask.keys() & used(made(name)))
        assert multiplied(model) <= multiplied(made(name), zeros=True) - away


def test_a_mask_of_everything_changes_no_output(name: str) -> None:
    with unless_refused(name, "mask"):
        model = made(name).eval()
        inputs = images(dtype=dtype_of(model))
        before = model(inputs)
        Mask.ones(model).apply_(model)
        torch.testing.assert_close(model(inputs), before, rtol=1e-6, atol=1e-6)
