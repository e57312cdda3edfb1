"""Synaptic flow of small networks."""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn

from pruning import Batches, strategies

CPU = torch.device("cpu")


def image_of_ones(*shape: int) -> Batches:
    ones = torch.ones(shape, dtype=torch.float64)
    return Batches([], [ones[None]], ones)


def scores(model: nn.Module, batches: Batches, seed: int = 0, **choices: str) -> dict[str, Tensor]:
    """What SynFlow gives for a copy of the model, in float64 and eval mode as `prune` hands it over."""
    strategy = strategies.get("synflow")(**choices)
    scratch, generator = copy.deepcopy(model).double().eval().requires_grad_(), torch.Generator().manual_seed(seed)
    return strategy.score(scratch, batches.to(CPU, torch.float64), generator)


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-9, atol=0)


def chain(*widths: int, seed: int = 0) -> nn.Sequential:
    """Linear layers without biases, with weights of both signs."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        layers = [nn.Linear(i, o, bias=False) for i, o in pairwise(widths)]
    return nn.Sequential(*layers).double()


def without_output_bias(model: nn.Sequential) -> nn.Sequential:
    model[-1].bias.data.zero_()
    return model
