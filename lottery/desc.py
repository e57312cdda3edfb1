"""What a lottery-ticket experiment depends on."""

from dataclasses import dataclass
from typing import ClassVar

from foundations.desc import Desc
from foundations.hparams import hp, tagged
from foundations.steps import Step
from lottery.retraining import REWIND_WEIGHTS, WAYS
from pruning import PruningHparams, Strategy, strategies
from training.desc import TrainDesc


@dataclass(frozen=True, kw_only=True)
class LotteryDesc(Desc):
    """Train to k, prune, train the subnetwork from k to the end; level by level."""

    kind: ClassVar[str] = "lottery"
    train: TrainDesc
    strategy: Strategy = tagged(strategies)
    pruning: PruningHparams
    k: Step = hp(Step("0ep"))
    """Step at which the subnetwork starts (rewinding step), and at which it is found unless --score_at=end."""
    reset_optimizer: bool = hp(False)
    """Start subnetworks with a fresh optimizer, as open_lth does, instead of the trunk's at k."""
    compact: bool = hp(False, absent=False)
    """Train subnetworks at their true size: without the channels that cannot influence the output."""

    retrain: str = hp(REWIND_WEIGHTS, choices=WAYS, absent=REWIND_WEIGHTS)
    """How a network that was pruned at the end of training is trained again."""

    def density(self, level: int) -> float:
        """The fraction of the prunable weights that level ``level`` keeps: ``(1 - pruning_fraction) ** level``."""
        return float((1 - self.pruning.pruning_fraction) ** level)

    def code(self) -> tuple[object, ...]:
        return (*self.train.code(), type(self.strategy))
