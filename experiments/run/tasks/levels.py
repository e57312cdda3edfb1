"""The tasks of a lottery run: its levels, their masks and their branches."""

from dataclasses import dataclass

from experiments.run.tasks.base import Task, task_kinds
from experiments.run.tasks.trunk import TrunkTask, trunk_end
from experiments.workspace import Workspace
from foundations.hparams import tagged
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc, LotteryRunner
from lottery.branch import Branch, BranchRunner, branches
from lottery.desc import REWIND_WEIGHTS


@dataclass(frozen=True, kw_only=True)
class _OfLevel(Task):
    """What belongs to one level of a lottery run."""

    desc: LotteryDesc
    replicate: int
    level: int
    allow_collapse: bool = False

    @property
    def experiment(self) -> str:
        return f"{self.desc.strategy.name}, k={self.desc.k.short}, replicate {self.replicate}"

    def where(self, session: Workspace) -> Store:
        return self._runner(session).level(self.level).here

    def trunk_to(self, step: Step) -> TrunkTask:
        return TrunkTask(desc=self.desc.train, replicate=self.replicate, to=step)

    def below(self, level: int) -> "LevelTask":
        """Another level of the same run."""
        return LevelTask(
            desc=self.desc, replicate=self.replicate, level=level, allow_collapse=self.allow_collapse
        )

    def _runner(self, session: Workspace) -> LotteryRunner:
        return session.lottery_runner(self.desc, self.replicate, self.allow_collapse)


@task_kinds.register("level_mask")
@dataclass(frozen=True, kw_only=True)
class LevelMaskTask(_OfLevel):
    """A level's mask."""

    @property
    def part(self) -> str:
        return f"mask of level {self.level}"

    def needs(self) -> tuple[Task, ...]:
        if self.level == 0:
            return ()
        if self.desc.pruning.score_at == "k":
            return (self.trunk_to(self.desc.k),)
        return (trunk_end(self.desc.train, self.replicate), *(self.below(level) for level in range(self.level)))

    def done(self, session: Workspace) -> bool:
        return self._runner(session).has_mask(self.level)

    def run(self, session: Workspace) -> None:
        self._runner(session).find_mask(self.level)


@task_kinds.register("level")
@dataclass(frozen=True, kw_only=True)
class LevelTask(_OfLevel):
    """A level's subnetwork, trained; level 0 is the trunk."""

    @property
    def part(self) -> str:
        return f"level {self.level}"

    def needs(self) -> tuple[Task, ...]:
        mask = LevelMaskTask(
            desc=self.desc, replicate=self.replicate, level=self.level, allow_collapse=self.allow_collapse
        )
        starts_at_k = self.level and self.desc.retrain == REWIND_WEIGHTS
        return mask, self.trunk_to(self.desc.k if starts_at_k else self.desc.train.training.training_steps)

    def done(self, session: Workspace) -> bool:
        return self._runner(session).done(self.level)

    def run(self, session: Workspace) -> None:
        self._runner(session).train(self.level)

    def steps(self, session: Workspace, reached: int = 0) -> int:
        trunk = self._runner(session).trunk
        return trunk.end - trunk.iteration(self.desc.k) if self.level else 0


@task_kinds.register("branch")
@dataclass(frozen=True, kw_only=True)
class BranchTask(_OfLevel):
    """A branch of a level."""

    branch: Branch = tagged(branches)

    @property
    def part(self) -> str:
        return f"{self.branch.name} of level {self.level}"

    def where(self, session: Workspace) -> Store:
        return self._branch(session).here(self.level)

    def needs(self) -> tuple[Task, ...]:
        return self.below(self.level), *map(self.trunk_to, (self.desc.k, *self.branch.trunk_steps(self.desc)))

    def done(self, session: Workspace) -> bool:
        return self._branch(session).done(self.level)

    def run(self, session: Workspace) -> None:
        self._branch(session).train(self.level)

    def steps(self, session: Workspace, reached: int = 0) -> int:
        """As many as the level's; a branch may train longer, or several networks."""
        trunk = self._runner(session).trunk
        return trunk.end - trunk.iteration(self.desc.k)

    def _branch(self, session: Workspace) -> BranchRunner:
        return BranchRunner(self._runner(session), self.branch)
