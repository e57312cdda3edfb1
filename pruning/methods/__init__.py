"""The pruning methods that come with the framework, each a file of its own. Importing them registers them."""

from pruning.methods.adsynflow import AdSynFlow
from pruning.methods.dynamic import GMP, SET, RigL, Static
from pruning.methods.imported import ImportedMask
from pruning.methods.loss_gradients import FORCE, SNIP, GraSP, IterativeSNIP
from pruning.methods.magnitude import Magnitude, SparseGlobal, SparseLayerwise
from pruning.methods.random import Random, RandomERK
from pruning.methods.synflow import SynFlow

__all__ = [
    "FORCE",
    "GMP",
    "SET",
    "SNIP",
    "AdSynFlow",
    "GraSP",
    "ImportedMask",
    "IterativeSNIP",
    "Magnitude",
    "Random",
    "RandomERK",
    "RigL",
    "SparseGlobal",
    "SparseLayerwise",
    "Static",
    "SynFlow",
]
