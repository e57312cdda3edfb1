"""``--k=early_bird`` and ``--k=early_crop``: when to prune, told by masks or weights along the dense training."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import nn

from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.steps import Step
from stability import AnalysisAtK
from stability.criteria.along_trunk import AlongTrunk, Seen, Walk, distance
from stability.criteria.criterion import Answer, Question, criteria


@criteria.register("early_bird")
@dataclass(frozen=True, kw_only=True)
class EarlyBird(AlongTrunk):
    """The first k whose mask stays close to those of the epochs before (Early-Bird).

    You et al. 2020, arXiv 1909.11957, algorithm 1: the mask is drawn after every epoch, and compared with the masks of
    the ``patience`` - 1 epochs before. Where none of these distances is above ``mask_distance``, the network is pruned.
    The distance is the normalized Hamming distance (``along_trunk.mask_distance``). The paper draws masks of channels
    by the factors of BatchNorm; here they are those of the chosen strategy.
    """

    mask_distance: float = hp(0.1, within="[0, 1]")
    """Share of the prunable weights in which masks may differ."""
    patience: int = hp(5, within="[2, inf)")
    """Masks in a row that may not differ in more."""

    def check(self, runner: AnalysisAtK, max_k: Step | None) -> None:
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


@criteria.register("early_crop")
@dataclass(frozen=True, kw_only=True)
class EarlyCrop(AlongTrunk):
    """The first k at which the weights hardly leave their early values (EarlyCroP).

    The rule of EarlyCroP's published code (Rachwan et al. 2022, arXiv 2206.10451; the authors' repository
    Early-Cropression-via-Gradient-Flow-Preservation, ``models/trainers/DefaultTrainer.py`` at 6fb1176): with w_t all
    parameters after epoch t and d_t = ||w_t - w_1|| / ||w_1||, the network is pruned at the first t > 2 with
    |d_t - d_(t-1)| < density d_2, where d_2 is the first distance that there is.
    """

    def look(self, walk: Walk, steps: Sequence[Step], before: Sequence[Seen]) -> Seen:
        if not before:
            return Seen()
        distances = [seen.more["distance"] for seen in before[1:]]
        newest = relative_distance(walk.network(steps[-1]), walk.network(steps[0]))
        threshold = walk.desc.density * [*distances, newest][0]
        value = abs(newest - distances[-1]) if distances else None
        return Seen(value=value, threshold=threshold, more={"distance": newest})


@torch.no_grad()
def relative_distance(model: nn.Module, start: nn.Module) -> float:
    """Return the Euclidean distance between all parameters of two networks over the length of those of ``start``."""
    pairs = list(zip(model.parameters(), start.parameters(), strict=True))
    away = sum(float((one.double() - other.double()).square().sum()) for one, other in pairs)
    length = sum(float(other.double().square().sum()) for _, other in pairs)
    return sqrt(away / length) if length else 0.0
