"""Tasks: the parts of experiments.

A task is a value: what is computed, for which run, after which other tasks. Experiments that share a trunk have the
same task for it, which a plan holds once. As JSON a task can be sent to another process or machine and done there by
``python main.py task``. The graph of an experiment's tasks is one function of its file in ``experiments.define``.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from dataclasses_json import config

from experiments.workspace import Workspace
from foundations import files
from foundations.errors import UsageError
from foundations.hparams import hp, tagged
from foundations.methods import Method, MethodRegistry
from foundations.steps import Step
from foundations.store import Store
from lottery import Level, LotteryDesc
from lottery.branch import Branch, LevelBranch, branches
from stability import AnalysisAtK, AnalysisHparams, StabilityDesc
from stability.criteria import AlongTrunk, Criterion, Walk, criteria
from training.hparams import TrainDesc
from training.trunk import Trunk

NOT_IN_JSON = config(encoder=lambda value: None, exclude=lambda value: True)


@dataclass(frozen=True)
class Work:
    """The work of a task."""

    where: Store | None  # the directory that it works in, which takes its status and its log
    done: Callable[[], bool]  # whether its result lies on disk
    run: Callable[[], object]  # computes what is not there yet
    steps: int = 0  # optimizer steps from its start to its end


@dataclass(frozen=True, kw_only=True)
class Task(Method, ABC):
    """A part of an experiment; when it is run again, it goes on from its checkpoint."""

    what: ClassVar[str]
    """What people call this part of an experiment, such as ``mask of level {task.level}``."""
    after: "tuple[Task, ...]" = field(default=(), compare=False, repr=False, metadata=NOT_IN_JSON)
    """The tasks that must be done before. It is in no JSON, and equal tasks may differ in it."""

    @property
    @abstractmethod
    def experiment(self) -> str:
        """What people call the experiment that it belongs to."""

    @property
    def part(self) -> str:
        return self.what.format(task=self)

    @property
    def label(self) -> str:
        return f"{self.experiment}, {self.part}"

    @abstractmethod
    def work(self, session: Workspace) -> Work:
        """Return the work to do in the directories of a session."""

    def done(self, session: Workspace) -> bool:
        return self.work(session).done()

    def to_json(self, **options: Any) -> str:
        """Return the task as a line of JSON; the inverse of :func:`from_json`."""
        return json.dumps(self.entries(), **options)

    def entries(self) -> dict[str, Any]:
        return {"task": self.name, **self.to_dict()}


task_kinds: MethodRegistry[Task] = MethodRegistry("task", are_flags=False)


def from_json(text: str | Mapping[str, Any]) -> Task:
    """Return the task that :meth:`Task.to_json` has described; ``UsageError`` if it does not describe one."""
    try:
        entries = json.loads(text) if isinstance(text, str) else text
    except ValueError as error:
        raise UsageError(f"A task is a JSON object, not {str(text)[:60]!r} ({error})") from error
    if not isinstance(entries, Mapping) or not isinstance(entries.get("task"), str):
        raise UsageError(f'A task is a JSON object with an entry "task", one of {", ".join(task_kinds)}')
    rest = {name: value for name, value in entries.items() if name not in ("task", "after")}
    return task_kinds.get(entries["task"]).from_dict(rest)


@task_kinds.register("trunk")
@dataclass(frozen=True, kw_only=True)
class TrunkTask(Task):
    """The dense training up to a step; at its end with its result."""

    desc: TrainDesc
    replicate: int
    to: Step
    what = "to {task.to.short}"

    @property
    def experiment(self) -> str:
        return f"trunk {self.desc.key}, replicate {self.replicate}"

    def work(self, session: Workspace) -> Work:
        trunk = session.trunk(self.desc, self.replicate)
        to_end = trunk.iteration(self.to) >= trunk.end
        return Work(
            trunk.store,
            done=lambda: trunk.has(self.to) and (trunk.store.done or not to_end),
            run=lambda: trunk.finish() if to_end else trunk.reach(self.to),
            steps=self.steps_after(session),
        )

    def steps_after(self, session: Workspace, reached: int = 0) -> int:
        """Return the optimizer steps from the last saved step, or from ``reached``, which another task trains to."""
        trunk = session.trunk(self.desc, self.replicate)
        to = trunk.iteration(self.to)
        return to - max([reached, *(saved for saved in trunk.saved_steps() if saved <= to)])


def trunk_end(desc: TrainDesc, replicate: int) -> TrunkTask:
    return TrunkTask(desc=desc, replicate=replicate, to=desc.training.training_steps)


@dataclass(frozen=True, kw_only=True)
class OfLevel(Task):
    """A task of one level of a lottery run."""

    desc: LotteryDesc
    replicate: int
    level: int
    allow_collapse: bool = False

    @property
    def experiment(self) -> str:
        return f"{self.desc.strategy.name}, k={self.desc.k.short}, replicate {self.replicate}"

    def at(self, session: Workspace) -> Level:
        return session.level(self.desc, self.replicate, self.level, self.allow_collapse)


@task_kinds.register("level_mask")
@dataclass(frozen=True, kw_only=True)
class LevelMaskTask(OfLevel):
    """A level's mask."""

    what = "mask of level {task.level}"

    def work(self, session: Workspace) -> Work:
        level = self.at(session)
        return Work(level.here, lambda: level.has_mask, level.prune)


@task_kinds.register("level")
@dataclass(frozen=True, kw_only=True)
class LevelTask(OfLevel):
    """A level's subnetwork, trained; level 0 is the trunk."""

    what = "level {task.level}"

    def work(self, session: Workspace) -> Work:
        level = self.at(session)
        steps = steps_to_end(level.trunk, self.desc.k) if level.number else 0
        return Work(level.here, lambda: level.done, level.train, steps)


@task_kinds.register("branch")
@dataclass(frozen=True, kw_only=True)
class BranchTask(OfLevel):
    """A branch of a level. Its steps are estimated as those of the level; it may train longer, or several networks."""

    branch: Branch = tagged(branches)
    what = "{task.branch.name} of level {task.level}"

    def work(self, session: Workspace) -> Work:
        branch = LevelBranch(self.at(session), self.branch)
        return Work(branch.here, lambda: branch.done, branch.train, steps_to_end(branch.level.trunk, self.desc.k))


@dataclass(frozen=True, kw_only=True)
class OfAnalysis(Task):
    """A task of the instability analysis at one k."""

    desc: StabilityDesc
    replicate: int
    k: Step  # in its normal form, with less than an epoch of iterations
    settings: AnalysisHparams
    checkpoint: str | None = None  # a file of weights that take the place of the trunk at k

    @property
    def experiment(self) -> str:
        return f"{self.desc.strategy_name}, k={self.k.short}, replicate {self.replicate}"

    def analysis(self, session: Workspace) -> AnalysisAtK:
        return session.analysis(self.desc, self.replicate, self.k, self.settings, self.checkpoint)


@task_kinds.register("full_network")
@dataclass(frozen=True, kw_only=True)
class FullNetworkTask(OfAnalysis):
    """The full network trained on from a checkpoint."""

    what = "full network"

    def work(self, session: Workspace) -> Work:
        run = self.analysis(session)
        here, steps = run.full_network_store, steps_to_end(run.trunk, self.k)
        return Work(here, lambda: here.done, run.full_network, steps)


@task_kinds.register("analysis_mask")
@dataclass(frozen=True, kw_only=True)
class AnalysisMaskTask(OfAnalysis):
    """The mask of the children."""

    what = "mask"

    def work(self, session: Workspace) -> Work:
        run = self.analysis(session)
        return Work(run.here, lambda: run.has_mask, run.mask)


@task_kinds.register("child")
@dataclass(frozen=True, kw_only=True)
class ChildTask(OfAnalysis):
    """A child, trained to the end."""

    number: int = hp(1, within="[1, inf)")
    what = "child {task.number}"

    def work(self, session: Workspace) -> Work:
        run, number = self.analysis(session), self.number
        here, steps = run.children.store(number), steps_to_end(run.trunk, self.k)
        return Work(here, lambda: run.children.done(number), lambda: run.train_child(number), steps)


@task_kinds.register("comparison")
@dataclass(frozen=True, kw_only=True)
class ComparisonTask(OfAnalysis):
    """The interpolations between the children, and the verdict."""

    what = "comparison"

    def work(self, session: Workspace) -> Work:
        run = self.analysis(session)
        return Work(run.here, lambda: run.done, run.compare)


@task_kinds.register("curve")
@dataclass(frozen=True, kw_only=True)
class CurveTask(Task):
    """A criterion's curve along the dense training, which is trained as far as the criterion looks.

    Args:
        limit: the last iteration at which it may look.
    """

    desc: StabilityDesc
    replicate: int
    criterion: Criterion = tagged(criteria)
    limit: int = hp(0, within="[0, inf)")
    what = "k={task.criterion.name}"

    @property
    def experiment(self) -> str:
        return f"{self.desc.strategy_name}, replicate {self.replicate}"

    def work(self, session: Workspace) -> Work:
        criterion = self.criterion
        assert isinstance(criterion, AlongTrunk), "no other criterion has such a task"
        network = session.analysis(self.desc, self.replicate, Step("0ep"), AnalysisHparams(), None)
        here, trunk = network.store.sub(criterion.key), network.trunk

        def done() -> bool:
            return criterion.answered(here, self.limit, trunk.per_epoch)

        def run() -> None:
            network.begin()
            with here.lock(session.context.reporter):
                if not done():  # by another process, meanwhile
                    here.write_json(files.CURVE, criterion.walk(Walk(network), self.limit))

        return Work(here, done, run, max(0, self.limit - max(trunk.saved_steps(), default=0)))


def steps_to_end(trunk: Trunk, k: Step) -> int:
    return trunk.end - trunk.iteration(k)
