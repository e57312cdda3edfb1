"""Weights are scored in the arithmetic that was asked for. TF32 is seen in PyTorch's switches, which a CPU has, too."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lottery.masks import find_mask
from pruning import Batches, PruningHparams, Strategy, prunable

Switches = tuple[bool, bool, bool]


def switches() -> Switches:
    """Whether convolutions and matrix products may use TF32, and whether autocast is on."""
    return (
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.is_autocast_enabled("cpu"),
    )


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("fp32", (False, False, False)), ("tf32", (True, True, False)), ("bf16", (False, False, False))],
)
def test_scores_are_computed_as_asked_for(precision: str, expected: Switches, experiment: Callable[..., Any]) -> None:
    seen: list[Switches] = []

    @dataclass(frozen=True)
    class Watching(Strategy):
        def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
            seen.append(switches())
            return {name: weight.abs() for name, weight in prunable(model).items()}

    trunk = experiment().trunk
    trunk.desc = replace(trunk.desc, training=replace(trunk.desc.training, precision=precision))
    before = switches()
    find_mask(trunk, Watching(), PruningHparams(), trunk.fresh().model, density=0.5)
    assert set(seen) == {expected}
    assert switches() == before
