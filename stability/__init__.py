"""Instability analysis: is a network stable to SGD noise from step k on?"""

from stability import branch  # noqa: F401  registers itself
from stability.analysis import AnalysisAtK
from stability.desc import AnalysisHparams, StabilityDesc

__all__ = ["AnalysisAtK", "AnalysisHparams", "StabilityDesc"]
