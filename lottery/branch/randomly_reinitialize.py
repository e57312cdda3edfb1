"""Do the weights matter, or only the structure?"""

from dataclasses import dataclass, replace

from foundations.hparams import hp
from foundations.steps import Step
from lottery.branch.registry import Branch, branches
from lottery.desc import LotteryDesc
from lottery.level import Ticket
from models import build
from training.state import TrainState
from training.trunk import Trunk


@branches.register("randomly_reinitialize")
@dataclass(frozen=True, kw_only=True)
class RandomlyReinitialize(Branch):
    """Keeps the mask and draws new initial weights; BatchNorm and the optimizer start anew too.

    Frankle and Carbin 2019, "The Lottery Ticket Hypothesis", section 2.
    """

    start_step: Step | None = hp(None)
    """Step of the schedule at which the new weights start; default: k, so that they train as long as the level."""

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        trunk.refuse_after_end("start_step", self.start_step or desc.k)

    def start(self, ticket: Ticket) -> Ticket:
        level, old = ticket.level, ticket.state
        data = level.trunk.data
        model = build(level.desc.train.model, data.shape, level.generator("randomly_reinitialize"))
        capture = level.trunk.context.cuda_graphs
        state = TrainState.fresh(model, ticket.training, old.noise, data.device, capture=capture)
        state.iteration = level.trunk.iteration(self.start_step or level.desc.k)
        return replace(ticket, state=state)
