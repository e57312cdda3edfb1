"""The pruning methods that come with the framework, each a file of its own. Importing them registers them."""

from pruning.methods.adsynflow import AdSynFlow
from pruning.methods.force import FORCE
from pruning.methods.gmp import GMP
from pruning.methods.grasp import GraSP
from pruning.methods.imported import ImportedMask
from pruning.methods.magnitude import Magnitude, SparseGlobal, SparseLayerwise
from pruning.methods.random import Random
from pruning.methods.random_erk import RandomERK
from pruning.methods.rigl import RigL
from pruning.methods.set import SET
from pruning.methods.snip import SNIP, IterativeSNIP
from pruning.methods.static import Static
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
