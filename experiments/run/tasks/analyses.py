"""The tasks of an instability analysis: mask, children, comparison."""

from dataclasses import dataclass
from typing import Any

from experiments.run.tasks.base import Task, task_kinds
from experiments.run.tasks.trunk import TrunkTask, trunk_end
from experiments.workspace import Workspace
from foundations.hparams import hp
from foundations.steps import Step
from foundations.store import Store
from stability import AnalysisHparams, StabilityDesc, StabilityRunner


@dataclass(frozen=True, kw_only=True)
class _OfAnalysis(Task):
    """What belongs to the instability analysis at one k.

    Args:
        k: in its normal form, with less than an epoch of iterations.
        settings: how many children there are, and how they are compared.
        checkpoint: the file of weights that take the place of the trunk at k.
    """

    desc: StabilityDesc
    replicate: int
    k: Step
    settings: AnalysisHparams
    checkpoint: str | None = None

    @property
    def experiment(self) -> str:
        return f"{self.desc.strategy_name}, k={self.k.short}, replicate {self.replicate}"

    def where(self, session: Workspace) -> Store:
        return self._runner(session).here

    def start(self) -> tuple[Task, ...]:
        """What the network at k comes from."""
        if self.checkpoint is not None:
            return ()
        return (TrunkTask(desc=self.desc.train, replicate=self.replicate, to=self.k),)

    def full_network(self) -> Task:
        """The training that children are compared with."""
        if self.checkpoint is not None:
            return FullNetworkTask(**self._shared())
        return trunk_end(self.desc.train, self.replicate)

    def mask(self) -> tuple[Task, ...]:
        """The children's mask, if they have one."""
        return () if self.desc.strategy is None else (AnalysisMaskTask(**self._shared()),)

    def _shared(self) -> dict[str, Any]:
        names = ("desc", "replicate", "k", "settings", "checkpoint")
        return {name: getattr(self, name) for name in names}

    def _runner(self, session: Workspace) -> StabilityRunner:
        return session.stability_runner(self.desc, self.replicate, self.k, self.settings, self.checkpoint)


@task_kinds.register("full_network")
@dataclass(frozen=True, kw_only=True)
class FullNetworkTask(_OfAnalysis):
    """The full network trained on from a checkpoint."""

    @property
    def part(self) -> str:
        return "full network"

    def where(self, session: Workspace) -> Store:
        return self._runner(session).full_network_store

    def done(self, session: Workspace) -> bool:
        return self._runner(session).full_network_done

    def run(self, session: Workspace) -> None:
        self._runner(session).full_network()

    def steps(self, session: Workspace, reached: int = 0) -> int:
        trunk = self._runner(session).trunk
        return trunk.end - trunk.iteration(self.k)


@task_kinds.register("analysis_mask")
@dataclass(frozen=True, kw_only=True)
class AnalysisMaskTask(_OfAnalysis):
    """The mask of the children."""

    @property
    def part(self) -> str:
        return "mask"

    def needs(self) -> tuple[Task, ...]:
        assert self.desc.pruning is not None, "there is a strategy"
        return (self.full_network(),) if self.desc.pruning.score_at == "end" else self.start()

    def done(self, session: Workspace) -> bool:
        return self._runner(session).has_mask

    def run(self, session: Workspace) -> None:
        self._runner(session).mask()


@task_kinds.register("child")
@dataclass(frozen=True, kw_only=True)
class ChildTask(_OfAnalysis):
    """A child, trained to the end."""

    number: int = hp(1, within="[1, inf)")

    @property
    def part(self) -> str:
        return f"child {self.number}"

    def where(self, session: Workspace) -> Store:
        return self._runner(session).child_store(self.number)

    def needs(self) -> tuple[Task, ...]:
        return (*self.start(), *self.mask())

    def done(self, session: Workspace) -> bool:
        return self._runner(session).child_done(self.number)

    def run(self, session: Workspace) -> None:
        self._runner(session).train_child(self.number)

    def steps(self, session: Workspace, reached: int = 0) -> int:
        trunk = self._runner(session).trunk
        return trunk.end - trunk.iteration(self.k)


@task_kinds.register("comparison")
@dataclass(frozen=True, kw_only=True)
class ComparisonTask(_OfAnalysis):
    """The lines between the children, and the verdict."""

    @property
    def part(self) -> str:
        return "comparison"

    def needs(self) -> tuple[Task, ...]:
        children = range(1, self.settings.children + 1)
        return self.full_network(), *(ChildTask(**self._shared(), number=number) for number in children)

    def done(self, session: Workspace) -> bool:
        return self._runner(session).done

    def run(self, session: Workspace) -> None:
        self._runner(session).compare()
