"""Measurements: numbers that describe what was trained, also of runs that are done, without training anything.

Importing the package registers those that come with the framework.
"""

from experiments.measurements import (  # noqa: F401  they register themselves
    after_pruning,
    between_children,
    curvature,
    overlap,
    paths,
    weights,
)
from experiments.measurements.finished import (
    Finished,
    finished_analysis,
    finished_branch,
    finished_level,
    finished_training,
)
from experiments.measurements.measurement import Measurement, is_taken, measurements, take

__all__ = [
    "Finished", "Measurement", "finished_analysis", "finished_branch", "finished_level", "finished_training",
    "is_taken", "measurements", "take",
]  # fmt: skip
