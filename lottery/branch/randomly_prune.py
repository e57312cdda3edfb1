"""Is it better than chance?"""

from dataclasses import dataclass, replace

from foundations.hparams import hp
from lottery.branch.registry import Branch, branches
from lottery.level import Ticket
from lottery.shuffling import shuffled


@branches.register("randomly_prune")
@dataclass(frozen=True, kw_only=True)
class RandomlyPrune(Branch):
    """Keeps as many weights, drawn at random: as many of each layer, or from all layers together."""

    scope: str = hp("layer", choices=("layer", "global"))
    """What is as dense as in the level: each layer, or only the whole network. Ignored layers stay as they are."""

    def start(self, ticket: Ticket) -> Ticket:
        names = [name for name in ticket.mask if name not in ticket.level.ignored]
        groups = [names] if self.scope == "global" else [[name] for name in names]
        generator = ticket.level.generator("randomly_prune")
        return replace(ticket, mask=shuffled(ticket.mask, groups, generator))
