"""The task of a criterion for k that looks at the dense training as it goes on."""

from dataclasses import dataclass
from typing import cast

from experiments.run.tasks.base import Task, task_kinds
from experiments.workspace import Workspace
from foundations import files
from foundations.hparams import hp, tagged
from foundations.steps import Step
from foundations.store import Store
from stability import AnalysisHparams, StabilityDesc, StabilityRunner
from stability.criteria import AlongTrunk, Criterion, Walk, criteria


@task_kinds.register("curve")
@dataclass(frozen=True, kw_only=True)
class CurveTask(Task):
    """What a criterion sees along the dense training, which is trained as far as it has to look.

    Args:
        limit: the last iteration at which it may look.
    """

    desc: StabilityDesc
    replicate: int
    criterion: Criterion = tagged(criteria)
    limit: int = hp(0, within="[0, inf)")

    @property
    def experiment(self) -> str:
        return f"{self.desc.strategy_name}, replicate {self.replicate}"

    @property
    def part(self) -> str:
        return f"k={self.criterion.name}"

    def where(self, session: Workspace) -> Store:
        return self._runner(session).store.sub(self.criterion.key)

    def done(self, session: Workspace) -> bool:
        return self._along().answered(self.where(session), self.limit, self._runner(session).trunk.per_epoch)

    def run(self, session: Workspace) -> None:
        runner, here = self._runner(session), self.where(session)
        runner.begin()
        with here.lock(session.context.reporter):
            if not self.done(session):  # by another process, meanwhile
                here.write_json(files.CURVE, self._along().walk(Walk(runner), self.limit))

    def steps(self, session: Workspace, reached: int = 0) -> int:
        """At most; counted from the last saved step of the trunk."""
        return max(0, self.limit - max(self._runner(session).trunk.saved_steps(), default=0))

    def _along(self) -> AlongTrunk:
        return cast(AlongTrunk, self.criterion)  # no other criterion has such a task

    def _runner(self, session: Workspace) -> StabilityRunner:
        return session.stability_runner(self.desc, self.replicate, Step("0ep"), AnalysisHparams(), None)
