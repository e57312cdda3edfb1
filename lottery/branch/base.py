"""What a branch is: a level's subnetwork with something changed before it is trained."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from foundations import files
from foundations.desc import key_of
from foundations.environment import settle, verify
from foundations.methods import Method, MethodRegistry
from foundations.steps import Step
from foundations.store import Store
from lottery.desc import LotteryDesc
from lottery.level import Level, Ticket
from training.trunk import Trunk


@dataclass(frozen=True, kw_only=True)
class Branch(Method, ABC):
    """An ablation of a level. Its fields are its flags and its key; it differs from the others in :meth:`start`
    alone.

    Training, the mask's report, resuming and the table are the same for all; see :class:`LevelBranch`.
    """

    outcome: ClassVar[str] = "test_accuracy"
    """The entry of ``done.json``, a share of 1, that the table shows."""

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        """Raise ``UsageError`` if the branch's fields do not fit the experiment; nothing has been trained yet."""

    def trunk_steps(self, desc: LotteryDesc) -> tuple[Step, ...]:
        """Return the steps of the trunk that the branch reads beside those that its level does."""
        return ()

    def replicates(self) -> tuple[int, ...]:
        """Return the other replicates whose levels and full networks the branch reads; they are trained before."""
        return ()

    @abstractmethod
    def start(self, ticket: Ticket) -> Ticket:
        """Return the subnetwork that the branch trains.

        Args:
            ticket: the level's own: ``ticket.mask``, ``ticket.state`` (the full network at k, with its optimizer)
                and ``ticket.training``, which may all be replaced; ``ticket.level`` gives named random numbers
                (``generator``), the full network at other steps (``state_at``) and the masks of other strategies
                (``find_mask``).

        Returns:
            ``dataclasses.replace(ticket, ...)``.
        """

    def done(self, here: Store) -> bool:
        """Return whether nothing is left to do in ``here``, the directory of the branch."""
        return here.done

    def run(self, here: Store, ticket: Ticket) -> None:
        """Train what :meth:`start` has returned. A branch that does something else with it overrides this.

        Args:
            here: the directory of the branch; marked as done (``finish``) when all is there. A run that was
                interrupted is started again with what it has left.
            ticket: the subnetwork.
        """
        ticket.level.train_ticket(here, ticket, self.name)

    @property
    def key(self) -> str:
        """The directory of the branch within the level: ``<name>_<hash of its fields>``."""
        return key_of(self.name, self)


branches: MethodRegistry[Branch] = MethodRegistry("branch")


@dataclass(frozen=True)
class LevelBranch:
    """A branch of a level, which is trained already."""

    level: Level
    branch: Branch

    @property
    def here(self) -> Store:
        return self.level.here.sub(self.branch.key)

    @property
    def done(self) -> bool:
        return self.branch.done(self.here)

    @property
    def code(self) -> tuple[object, ...]:
        """What the branch's own result depends on, beside the level."""
        return (type(self.branch),)

    @property
    def entries(self) -> dict[str, Any]:
        """The content of the branch's ``desc.json``."""
        return {"kind": self.branch.name, **self.branch.to_dict()}

    def check(self) -> None:
        """Raise ``UsageError`` if the branch does not fit the experiment, or another version of it computed this."""
        trunk = self.level.trunk
        self.branch.check(self.level.desc, trunk)
        verify(self.here, self.code, trunk.context, trunk.data.fingerprint)

    def train(self) -> None:
        """Train the branch, unless that is done."""
        with self.level.at_work():
            if self.done:  # by another process, meanwhile
                return
            trunk = self.level.trunk
            settle(self.here, self.code, trunk.context, trunk.data.fingerprint)
            ticket = self.branch.start(self.level.ticket())
            self.here.write_json(files.DESC, self.entries)
            self.branch.run(self.here, ticket)
