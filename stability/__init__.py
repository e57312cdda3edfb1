"""Instability analysis: is a network stable to SGD noise from step k on?"""

from stability import branch, transport  # noqa: F401  they register themselves
from stability.analysis import AnalysisAtK
from stability.desc import AnalysisHparams, ChildrenHparams, StabilityDesc

__all__ = ["AnalysisAtK", "AnalysisHparams", "ChildrenHparams", "StabilityDesc"]
