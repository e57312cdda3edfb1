"""Magnitude pruning: at a step k, or at the end of training as in iterative magnitude pruning; imported masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from pruning.batches import Batches
from pruning.prunable import prunable
from pruning.strategy import Strategy, strategies


@strategies.register("magnitude")
@dataclass(frozen=True, kw_only=True)
class Magnitude(Strategy):
    """Keeps the largest weights of step k. Score: |w|."""

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        return {name: weight.abs() for name, weight in prunable(model).items()}


@strategies.register("sparse_global")
@dataclass(frozen=True, kw_only=True)
class SparseGlobal(Magnitude):
    """Keeps the largest weights at the end of training, over all layers, level by level.

    With weights set back to step k this is iterative magnitude pruning with rewinding (Frankle et al. 2020,
    "Linear Mode Connectivity and the Lottery Ticket Hypothesis", algorithm 2).
    """

    score_at: ClassVar[Literal["k", "end"]] = "end"
    defaults: ClassVar[Mapping[str, Any]] = {"k": "0ep", "pruning_fraction": 0.2}
    published: ClassVar[Mapping[str, Any]] = {"reset_optimizer": True}


@strategies.register("sparse_layerwise")
@dataclass(frozen=True, kw_only=True)
class SparseLayerwise(SparseGlobal):
    """As sparse_global, with the same share of every layer: ``--pruning_scope=layer``."""

    defaults: ClassVar[Mapping[str, Any]] = {**SparseGlobal.defaults, "pruning_scope": "layer"}


@strategies.register("imported")
@dataclass(frozen=True, kw_only=True)
class ImportedMask(Magnitude):
    """Keeps what the mask of the --imported network keeps, whatever the scores.

    A lottery run or an analysis takes the mask as it is. ``prune`` by itself, which knows of no import, keeps the
    largest weights: those that a mask has set to zero go first.
    """
