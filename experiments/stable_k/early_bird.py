"""``--k=early_bird``: prune where masks no longer change."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.stable_k.along_trunk import AlongTrunk, Seen, Walk
from experiments.stable_k.bits import distance
from experiments.stable_k.registry import Answer, Question, criteria
from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.steps import Step
from stability import StabilityRunner


@criteria.register("early_bird")
@dataclass(frozen=True, kw_only=True)
class EarlyBird(AlongTrunk):
    """The first k whose mask stays close to those of the epochs before (Early-Bird).

    You et al. 2020, arXiv 1909.11957, algorithm 1: the mask is drawn after every epoch, and compared with the masks of
    the ``patience`` - 1 epochs before. Where none of these distances is above ``mask_distance``, the network is pruned.
    The distance is the normalized Hamming distance, that of ``bits.mask_distance``. The paper draws masks of channels
    by the factors of BatchNorm; here they are those of the chosen strategy.
    """

    mask_distance: float = hp(0.1, within="[0, 1]")
    """Share of the prunable weights in which masks may differ."""
    patience: int = hp(5, within="[2, inf)")
    """Masks in a row that may not differ in more."""

    def check(self, runner: StabilityRunner, max_k: Step | None) -> None:
        super().check(runner, max_k)
        desc = runner.desc
        if desc.strategy is None or desc.pruning is None:
            raise UsageError(f"--k={self.name}: compares masks, and --pruning_strategy=none has none")
        if desc.pruning.score_at == "end":
            name = desc.strategy.name
            raise UsageError(f"--k={self.name}: --pruning_strategy={name} finds its mask at the end, whatever k is")

    def find(self, question: Question) -> Answer:
        density = question.at(Step("0ep")).desc.density
        if (most := round(2 * min(density, 1 - density), 9)) <= self.mask_distance:
            question.reporter.warn(
                f"--k={self.name}: no two masks of density {density:.4g} differ in more than {most:.4g} of the "
                f"weights; --mask_distance={self.mask_distance:g} is met by any"
            )
        return super().find(question)

    def look(self, walk: Walk, steps: Sequence[Step], before: Sequence[Seen]) -> Seen:
        newest = walk.mask(steps[-1])
        distances = [distance(newest, walk.mask(step)) for step in steps[:-1]]
        window = distances[-(self.patience - 1) :]
        value = max(window) if len(window) == self.patience - 1 else None
        return Seen(value=value, threshold=self.mask_distance, more={"masks": distances})
