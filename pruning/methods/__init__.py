"""The pruning methods that come with the framework, each a file of its own. Importing them registers them."""

from pruning.methods.dynamic import ACDC, GMP, SET, ChangingMask, GraNet, RigL, Static, UpdateProgress
from pruning.methods.loss_gradients import FORCE, SNIP, GraSP, IterativeSNIP
from pruning.methods.magnitude import ImportedMask, Magnitude, SparseGlobal, SparseLayerwise
from pruning.methods.ntk_sap import NTKSAP
from pruning.methods.prospr import ProsPr
from pruning.methods.px import PX
from pruning.methods.random import Random, RandomERK
from pruning.methods.srigl import SRigL
from pruning.methods.synflow import AdSynFlow, SynFlow
from pruning.methods.synflow_l2 import SynFlowL2

__all__ = [
    "ACDC",
    "FORCE",
    "GMP",
    "NTKSAP",
    "PX",
    "SET",
    "SNIP",
    "AdSynFlow",
    "ChangingMask",
    "GraNet",
    "GraSP",
    "ImportedMask",
    "IterativeSNIP",
    "Magnitude",
    "ProsPr",
    "Random",
    "RandomERK",
    "RigL",
    "SRigL",
    "SparseGlobal",
    "SparseLayerwise",
    "Static",
    "SynFlow",
    "SynFlowL2",
    "UpdateProgress",
]
