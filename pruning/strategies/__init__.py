"""The pruning methods that come with the framework, each a file of its own. Importing them registers them."""

from pruning.strategies.adsynflow import AdSynFlow
from pruning.strategies.grasp import GraSP
from pruning.strategies.magnitude import Magnitude, SparseGlobal, SparseLayerwise
from pruning.strategies.random import Random
from pruning.strategies.random_erk import RandomERK
from pruning.strategies.snip import SNIP, IterativeSNIP
from pruning.strategies.synflow import SynFlow

__all__ = [
    "SNIP",
    "AdSynFlow",
    "GraSP",
    "IterativeSNIP",
    "Magnitude",
    "Random",
    "RandomERK",
    "SparseGlobal",
    "SparseLayerwise",
    "SynFlow",
]
