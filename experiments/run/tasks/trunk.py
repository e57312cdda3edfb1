"""The task of a trunk."""

from dataclasses import dataclass

from experiments.run.tasks.base import Place, Task, task_kinds
from experiments.workspace import Workspace
from foundations.steps import Step
from foundations.store import Store
from training.hparams import TrainDesc
from training.trunk import Trunk


@task_kinds.register("trunk")
@dataclass(frozen=True, kw_only=True)
class TrunkTask(Task):
    """The dense training up to a step; at its end with its result."""

    desc: TrainDesc
    replicate: int
    to: Step

    @property
    def experiment(self) -> str:
        return f"trunk {self.desc.key}, replicate {self.replicate}"

    @property
    def part(self) -> str:
        return f"to {self.to.short}"

    def place(self, session: Workspace) -> Place:
        trunk = self._trunk(session)
        return str(trunk.store.path), trunk.iteration(self.to)

    def where(self, session: Workspace) -> Store:
        return self._trunk(session).store

    def done(self, session: Workspace) -> bool:
        trunk = self._trunk(session)
        return trunk.has(self.to) and (trunk.iteration(self.to) < trunk.end or trunk.store.done)

    def run(self, session: Workspace) -> None:
        trunk = self._trunk(session)
        if trunk.iteration(self.to) < trunk.end:
            trunk.reach(self.to)
        else:
            trunk.finish()

    def steps(self, session: Workspace, reached: int = 0) -> int:
        """Counted from the last step before it that is saved, or that another task has reached."""
        trunk = self._trunk(session)
        to = trunk.iteration(self.to)
        return to - max([reached, *(saved for saved in trunk.saved_steps() if saved <= to)])

    def _trunk(self, session: Workspace) -> Trunk:
        return session.trunk(self.desc, self.replicate)


def trunk_end(desc: TrainDesc, replicate: int) -> TrunkTask:
    """The whole dense training."""
    return TrunkTask(desc=desc, replicate=replicate, to=desc.training.training_steps)
