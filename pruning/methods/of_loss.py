"""What strategies share that score by derivatives of the training loss."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from foundations.hparams import hp
from pruning.strategy import Strategy


@dataclass(frozen=True, kw_only=True)
class OfLoss(Strategy):
    """A strategy that differentiates the training loss, in the mode that the network is trained in or in the other."""

    mode: ClassVar[Literal["eval", "train"]] = "train"

    scoring_mode: str = hp("train", choices=("train", "eval"), absent="train")
    """Whether BatchNorm normalizes by the scoring batch (train) or, as in published code, by its running statistics
    (eval)."""

    @property
    def scored_in(self) -> str:
        return self.scoring_mode
