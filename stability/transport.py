"""Another replicate's mask, with its channels where this replicate's network has those that correspond to them."""

from dataclasses import dataclass, replace

from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.steps import Step
from lottery import LotteryDesc
from lottery.branch import Branch, Ticket, branches
from lottery.masks import trained_network
from pruning import Mask
from stability.activations import match_activations
from stability.alignment import Permutations, alignable_graph, check_alignable, match, permuted, share_moved
from training.arithmetic import arithmetic
from training.trunk import Trunk

EXAMPLES, AT_ONCE = 2_000, 50
"""Training images that activations are compared on, and how many of them at once."""


@branches.register("transport_mask")
@dataclass(frozen=True, kw_only=True)
class TransportMask(Branch):
    """Trains this replicate's start under another replicate's mask, its channels moved to where they correspond.

    Adnan et al. 2025, "Sparse Training from Random Initialization: Aligning Lottery Ticket Masks using Weight Symmetry"
    (ICML, arXiv 2505.05143); code: calgaryml/sparse-rebasin. The two full networks, trained to the end, are matched,
    and the mask is permuted as the other's channels are.
    """

    from_replicate: int = hp(2, within="[1, inf)")
    """The replicate whose mask is taken."""
    match_by: str = hp("activations", choices=("activations", "weights", "none"))
    """What corresponding channels have in common; none: the mask is taken as it is."""

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        if self.from_replicate == trunk.seeds.replicate:
            raise UsageError(f"--from_replicate={self.from_replicate}: is the replicate itself; give another one")
        if self.match_by != "none":
            check_alignable(trunk.fresh().model, trunk.data.shape, trunk.context, f"--match_by={self.match_by}")

    def trunk_steps(self, desc: LotteryDesc) -> tuple[Step, ...]:
        return () if self.match_by == "none" else (desc.train.training.training_steps,)

    def replicates(self) -> tuple[int, ...]:
        return (self.from_replicate,)

    def start(self, ticket: Ticket) -> Ticket:
        other = ticket.level.of_replicate(self.from_replicate)
        if not other.has_mask:
            other.prune()
        mask = other.mask()
        if self.match_by != "none":
            trunk = ticket.level.trunk
            order = self.matched(trunk, other.trunk)
            mask = Mask(permuted(mask, alignable_graph(trunk.fresh().model), order))
            trunk.context.reporter.say(f"{self.name}: {share_moved(order):.0%} of the hidden channels have moved")
        return replace(ticket, mask=mask)

    def matched(self, trunk: Trunk, other: Trunk) -> Permutations:
        """Return the order of the other full network's channels in which they correspond to this one's."""
        graph = alignable_graph(trunk.fresh().model)
        first, second = (trained_network(one).state_dict() for one in (trunk, other))
        if self.match_by == "weights":
            return match(graph, first, second, trunk.seeds.generator("mask transport", self.from_replicate))
        images = trunk.data.evaluation_batches("train", AT_ONCE, EXAMPLES)
        with arithmetic(trunk.desc.training, trunk.data.device):
            return match_activations(graph, trunk.fresh().model, first, second, images)
