"""The parts that experiments are made of."""

from experiments.tasks.analyses import AnalysisMaskTask, ChildTask, ComparisonTask, FullNetworkTask
from experiments.tasks.base import Task, from_json, task_kinds
from experiments.tasks.curve import CurveTask
from experiments.tasks.levels import BranchTask, LevelMaskTask, LevelTask
from experiments.tasks.trunk import TrunkTask, trunk_end

__all__ = [
    "AnalysisMaskTask",
    "BranchTask",
    "ChildTask",
    "ComparisonTask",
    "CurveTask",
    "FullNetworkTask",
    "LevelMaskTask",
    "LevelTask",
    "Task",
    "TrunkTask",
    "from_json",
    "task_kinds",
    "trunk_end",
]
