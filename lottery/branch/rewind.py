"""Does it matter where the weights come from?"""

from dataclasses import dataclass, replace

from foundations.hparams import hp
from foundations.steps import Step
from lottery.branch.registry import Branch, branches
from lottery.desc import LotteryDesc
from lottery.level import Ticket
from training.trunk import Trunk


@branches.register("rewind")
@dataclass(frozen=True, kw_only=True)
class Rewind(Branch):
    """Keeps the mask and starts from the full network at another step than k."""

    start_step: Step = hp(Step("0ep"))
    """Step whose weights, BatchNorm statistics and optimizer state the subnetwork starts with."""

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        trunk.check_step("start_step", self.start_step)

    def trunk_steps(self, desc: LotteryDesc) -> tuple[Step, ...]:
        return (self.start_step,)

    def start(self, ticket: Ticket) -> Ticket:
        return replace(ticket, state=ticket.level.state_at(self.start_step))
