"""Instability analysis as a branch: of the masks of a lottery run's levels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from foundations.context import Context
from foundations.desc import key_of
from foundations.files import MASK
from foundations.hparams import Hparams, hp
from foundations.store import Store
from lottery.branch import Branch, Ticket, branches
from stability.analysis import Analysis, stored
from stability.collect import collect_levels
from stability.desc import AnalysisHparams
from stability.report import directory_for, report
from training.state import TrainState


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
        """How the children are compared."""
        return AnalysisHparams(**{item.name: getattr(self, item.name) for item in fields(AnalysisHparams)})

    def done(self, here: Store) -> bool:
        """Whether there is an analysis with just these settings."""
        return here.done and stored(here, self.settings) is not None

    def start(self, ticket: Ticket) -> Ticket:
        return ticket

    def run(self, here: Store, ticket: Ticket) -> None:
        level = ticket.level
        trunk = level.trunk
        if not here.has(MASK):
            ticket.mask.save(here / MASK)
        density = ticket.mask.without(level.ignored).density
        result = Analysis(
            here=here,
            k=level.desc.k,
            start=starter(ticket),
            full_network=trunk.finish,
            facts={"strategy": level.desc.strategy.name, "level": level.number, "density": density},
            mask=ticket.mask,
            seeds=trunk.seeds,
            data=trunk.data,
            hparams=ticket.training,
            perturbation=0.0,
            settings=self.settings,
            context=trunk.context,
        ).run()
        here.finish(summary(result))

    def conclude(self, runs: Sequence[Store], context: Context) -> None:
        """Tables and figures of all levels analysed, in ``report/stability`` of a single run."""
        if self.report:
            report(collect_levels(runs, self.key), directory_for(runs, context.root, "stability"), context)


def starter(ticket: Ticket) -> Callable[[], TrainState]:
    """Makes the masked state that the level's training starts from, as often as it is wanted."""

    def start() -> TrainState:
        state = ticket.level.state_at(ticket.level.desc.k)
        state.prune(ticket.mask)
        return state

    return start


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """The numbers of ``instability.json`` that stand for it in ``done.json``."""
    names = ("level", "density", "stable", "learned", "threshold", "child_accuracy", "accuracy_gap")
    test = result["error_barrier"]["test"]
    return {
        **{name: result[name] for name in names},
        "test_error_barrier": test["raw"],
        "test_error_barrier_recalculated": test["recalculated"],
    }
