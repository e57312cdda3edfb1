"""Measuring what tasks have trained, as tasks of their own: of what is done already nothing is trained for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from experiments.measurements import (
    Finished,
    Measurement,
    finished_analysis,
    finished_branch,
    finished_level,
    finished_training,
    is_taken,
    measurements,
    take,
)
from experiments.run.tasks import BranchTask, ComparisonTask, LevelTask, Task, TrunkTask, Work, task_kinds
from experiments.workspace import Workspace
from foundations.errors import UsageError
from foundations.hparams import tagged
from lottery.branch import LevelBranch


@task_kinds.register("measurement")
@dataclass(frozen=True, kw_only=True)
class MeasurementTask(Task):
    """A measurement of what a task has come to. It leaves no status: that of the directory is of its training."""

    of: Task = tagged(task_kinds)
    measurement: Measurement = tagged(measurements)
    what = "{task.measurement.name} of {task.of.part}"

    @property
    def experiment(self) -> str:
        return self.of.experiment

    def work(self, session: Workspace) -> Work:
        measurement, finished, here = self.measurement, finished_by(self.of, session), self.of.work(session).where
        assert here is not None, "what can be measured lies in a directory"
        return Work(
            None, lambda: is_taken(measurement, finished, here),
            lambda: take(measurement, finished, here, session.context.reporter),
        )  # fmt: skip


def finished_by(task: Task, session: Workspace) -> Finished:
    """Return what a measurement looks at when a task is done."""
    match task:
        case TrunkTask():
            return finished_training(session.trunk(task.desc, task.replicate))
        case LevelTask():
            return finished_level(task.at(session))
        case BranchTask():
            return finished_branch(LevelBranch(task.at(session), task.branch))
        case ComparisonTask():
            return finished_analysis(task.analysis(session))
    raise UsageError(f"{task.label}: a {task.name} is not measured")


def with_measurements(tasks: Sequence[Task], chosen: Iterable[Measurement]) -> list[Task]:
    """Return tasks and, behind each, those of its measurements."""
    chosen = tuple(chosen)
    return [
        one
        for task in tasks
        for one in (task, *(MeasurementTask(of=task, measurement=what, after=(task,)) for what in chosen))
    ]
