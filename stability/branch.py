"""Instability analysis as a branch: of the masks of a lottery run's levels."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from foundations import files
from foundations.desc import key_of
from foundations.hparams import Hparams, hp
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc
from lottery.branch import Branch, Ticket, branches
from stability.alignment import check_alignable
from stability.analysis import analyse
from stability.barrier import Subject, check_judged
from stability.children import Children
from stability.desc import AnalysisHparams
from stability.verdict import Verdict, stored
from training.mask_updates import MaskUpdates
from training.state import TrainState
from training.trunk import Trunk


@branches.register("stability")
@dataclass(frozen=True, kw_only=True)
class Stability(Branch, AnalysisHparams):
    """Is the level's subnetwork stable to SGD noise? Compares children trained from it.

    Frankle et al. 2020, arXiv 1912.05671, section 4: the subnetworks of a lottery run that match the full network
    are those that are stable. The branch's directory holds what one k of a ``stability`` run does.
    """

    outcome: ClassVar[str] = "test_error_barrier"
    report: bool = hp(True)
    """Draw figures and write tables at the end."""

    @property
    def key(self) -> str:
        """The same for all fields, since none of them says how the children are trained."""
        return key_of(self.name, Hparams())

    @property
    def settings(self) -> AnalysisHparams:
        return AnalysisHparams(**{item.name: getattr(self, item.name) for item in fields(AnalysisHparams)})

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        check_judged(self.settings, trunk.data)
        if self.align:
            check_alignable(trunk.fresh().model, trunk.data.shape, trunk.context)

    def done(self, here: Store) -> bool:
        return here.done and stored(here, self.settings) is not None

    def trunk_steps(self, desc: LotteryDesc) -> tuple[Step, ...]:
        return (desc.train.training.training_steps,)  # the children are compared with the full network

    def start(self, ticket: Ticket) -> Ticket:
        return ticket

    def run(self, here: Store, ticket: Ticket) -> None:
        level, training = ticket.level, ticket.training
        if not here.has(files.MASK):
            ticket.mask.save(here / files.MASK)

        def start() -> TrainState:
            state = level.ticket().state
            state.prune(ticket.mask)
            return state

        def updates(state: TrainState) -> MaskUpdates | None:
            return level.updates(state.iteration, training)

        density = level.mask().without(level.ignored).density
        subject = Subject(level.desc.k, level.desc.strategy.name, density, level.number)
        children = Children(here, level.trunk, start, training, updates=updates)
        verdict = analyse(subject, children, ticket.mask, level.trunk.finish, self.settings)
        here.finish(summary(verdict), files.DESC, files.MASK, growing=[files.INSTABILITY])


def summary(verdict: Verdict) -> dict[str, Any]:
    """Return the numbers of ``instability.json`` that stand for it in ``done.json``."""
    names = ("level", "density", "stable", "learned", "threshold", "child_accuracy", "accuracy_gap")
    return {
        **{name: getattr(verdict, name) for name in names},
        "test_error_barrier": verdict.test_barrier,
        "test_error_barrier_recalculated": verdict.error_barrier.test.recalculated,
    }
