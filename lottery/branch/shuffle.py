"""Does it matter which weights of a layer are kept?"""

from dataclasses import dataclass, replace

from lottery.branch.registry import Branch, branches
from lottery.level import Ticket
from lottery.shuffling import shuffled


@branches.register("shuffle")
@dataclass(frozen=True, kw_only=True)
class Shuffle(Branch):
    """Keeps as many weights of each layer, in other places: the mask is shuffled within layers.

    Frankle et al. 2021, "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?", section 5.
    """

    def start(self, ticket: Ticket) -> Ticket:
        layers = [[name] for name in ticket.mask]
        return replace(ticket, mask=shuffled(ticket.mask, layers, ticket.level.generator("shuffle")))
