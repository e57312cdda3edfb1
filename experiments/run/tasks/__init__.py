"""The parts that experiments are made of."""

from experiments.run.tasks.analyses import AnalysisMaskTask, ChildTask, ComparisonTask, FullNetworkTask
from experiments.run.tasks.base import Task, from_json, task_kinds
from experiments.run.tasks.curve import CurveTask
from experiments.run.tasks.levels import BranchTask, LevelMaskTask, LevelTask
from experiments.run.tasks.trunk import TrunkTask, trunk_end

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
