"""Masks and scores for any ``nn.Module``."""

from pruning.batches import Batches
from pruning.conformance import check_strategy
from pruning.connectivity import effective_mask, empty_layers, has_path
from pruning.hparams import PruningHparams
from pruning.mask import Mask
from pruning.methods import ChangingMask, ImportedMask, UpdateProgress
from pruning.prunable import ignored_layers, left_dense, make_dense, prunable
from pruning.prune import prune
from pruning.strategy import Strategy, strategies

__all__ = [
    "Batches", "ChangingMask", "ImportedMask", "Mask", "PruningHparams", "Strategy", "UpdateProgress", "check_strategy",
    "effective_mask", "empty_layers", "has_path", "ignored_layers", "left_dense", "make_dense", "prunable", "prune",
    "strategies",
]  # fmt: skip
