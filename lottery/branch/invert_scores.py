"""Do the scores tell good weights from bad ones?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from lottery.branch.registry import Branch, branches
from lottery.desc import LotteryDesc
from lottery.level import Ticket
from pruning import Batches, ImportedMask, Strategy
from training.trunk import Trunk


@branches.register("invert_scores")
@dataclass(frozen=True, kw_only=True)
class InvertScores(Branch):
    """Keeps the weights with the lowest scores instead of the highest.

    Frankle et al. 2021, "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?", section 5.
    """

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        if isinstance(desc.strategy, ImportedMask):
            raise UsageError("invert_scores: an imported mask has no scores; give another --pruning_strategy")

    def start(self, ticket: Ticket) -> Ticket:
        return replace(ticket, mask=ticket.level.find_mask(inverted(ticket.level.desc.strategy)))


def inverted(strategy: Strategy) -> Strategy:
    """The same strategy with its scores negated, which inverts their order; 1 / score would not survive a 0."""
    original = type(strategy)

    def score_all(
        self: Strategy, model: nn.Module, weights: Mapping[str, Tensor], batches: Batches, generator: torch.Generator
    ) -> dict[str, Tensor]:
        return {name: -score for name, score in original.score_all(self, model, weights, batches, generator).items()}

    inverse: type[Strategy] = type(f"Inverted{original.__name__}", (original,), {"score_all": score_all})
    return inverse(**vars(strategy))
