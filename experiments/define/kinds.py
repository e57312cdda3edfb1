"""What there is: the kinds of experiment, and the classes whose fields are flags of the framework."""

from dataclasses import Field, fields
from typing import Any, get_origin, get_type_hints

from experiments.define.lottery import branch_tasks, level_tasks
from experiments.define.stability import analysis_tasks
from experiments.options import LotteryOptions, RunOptions, SessionOptions, StabilityOptions, TrainOptions
from experiments.run.tasks import BranchTask, LevelMaskTask, LevelTask, OfAnalysis, Task
from foundations.hparams import Hparams
from lottery.branch import branches
from models import ModelHparams
from pruning import PruningHparams, strategies
from stability import AnalysisHparams
from stability.criteria import criteria
from training.data import DataHparams
from training.hparams import TrainingHparams

SHARED: tuple[type[Hparams], ...] = (
    RunOptions, TrainOptions, SessionOptions, LotteryOptions, ModelHparams, DataHparams, TrainingHparams,
    PruningHparams,
)  # fmt: skip
"""Fields of these may be those of no strategy and of no branch."""

OF_STABILITY: tuple[type[Hparams], ...] = (StabilityOptions, AnalysisHparams)
"""Fields of these may be those of no strategy. Branches may share them: one of them is the analysis."""

FRAMEWORK: tuple[type[Hparams], ...] = (*SHARED, *OF_STABILITY)

IN_NO_KEY = {"allow_collapse", "report", "child", "max_k", "to", *(item.name for item in fields(AnalysisHparams))}
"""Flags that choose a part of an experiment, or how it is looked at. They take one value, for all experiments."""


def all_flags(*more: type[Hparams]) -> "dict[str, tuple[Field[Any], Any]]":
    """Return field and type of every flag there is, by its name, with those of ``more`` classes."""
    methods = [registry.get(name) for registry in (strategies, branches, criteria) for name in registry]
    return {
        item.name: (item, hints[item.name])
        for cls in (*methods, *FRAMEWORK, *more)
        for hints in (get_type_hints(cls),)
        for item in fields(cls)
    }


def holds_several(hint: Any) -> bool:
    return get_origin(hint) is tuple or any(get_origin(part) is tuple for part in getattr(hint, "__args__", ()))


def with_needs(task: Task) -> Task:
    """Return the task with those that it waits for, which its JSON does not say."""
    graph: list[Task] = []
    match task:
        case LevelMaskTask() | LevelTask():
            graph += level_tasks(task.desc, task.replicate, [task.level], task.allow_collapse)
        case BranchTask():
            graph += branch_tasks(task.desc, task.replicate, [task.level], task.allow_collapse, task.branch)
        case OfAnalysis():
            comparison, children = analysis_tasks(task.desc, task.replicate, task.k, task.settings, task.checkpoint)
            graph += [comparison, *children]
    while graph:
        one = graph.pop()
        if one == task:
            return one
        graph += one.after
    return task
