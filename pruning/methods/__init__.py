"""The pruning methods that come with the framework, each a file of its own. Importing them registers them."""

from pruning.methods.adsynflow import AdSynFlow
from pruning.methods.force import FORCE
from pruning.methods.grasp import GraSP
from pruning.methods.magnitude import Magnitude, SparseGlobal, SparseLayerwise
from pruning.methods.random import Random
from pruning.methods.random_erk import RandomERK
from pruning.methods.snip import SNIP, IterativeSNIP
from pruning.methods.synflow import SynFlow

__all__ = [
    "FORCE",
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
