"""From errors along a line to a verdict, and how sure it is."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from foundations.averages import average, standard_deviation
from foundations.errors import UsageError
from foundations.steps import Step
from stability.comparison import Measured
from stability.desc import AnalysisHparams
from stability.rows import TREATMENTS, LinePoint
from stability.verdict import Barriers, Distances, Interval, Pair, Treatments, Verdict
from training.data import TrainingData

CONFIDENCE = 0.9
"""Of an interval: the truth lies above it in a twentieth of all cases, and below it in another."""


@dataclass(frozen=True)
class Subject:
    """What is analysed: a network at a step."""

    k: Step
    strategy: str
    density: float
    level: int | None = None
    """In a lottery run."""


def judge(
    subject: Subject,
    measured: Measured,
    settings: AnalysisHparams,
    full_network_accuracy: float,
    chance: float,
) -> Verdict:
    """Return the barriers, their means over the pairs, and whether that is stable."""
    rows = measured.rows
    pairs = [with_barriers(pair, rows) for pair in measured.distances]
    error_barrier = over_pairs([pair.error_barrier for pair in pairs], average)
    splits = error_barrier.splits
    errors = {split: child_values(rows, split, "error", settings.children) for split in splits}
    judged = {pair.children: pair.error_barrier.at(settings.judge_by, "raw") for pair in pairs}
    interval = over_children(judged)
    learned = has_learned(errors[settings.judge_by], chance)
    accuracy = 1 - sum(errors["test"]) / settings.children
    return Verdict(
        k=subject.k,
        strategy=subject.strategy,
        level=subject.level,
        density=subject.density,
        threshold=settings.threshold,
        stable=is_stable(error_barrier.at(settings.judge_by, "raw"), settings.threshold, learned, interval),
        learned=learned,
        child_error=errors,
        child_loss={split: child_values(rows, split, "loss", settings.children) for split in splits},
        error_barrier=error_barrier,
        error_barrier_interval=interval,
        loss_barrier=over_pairs([pair.loss_barrier for pair in pairs], average),
        error_barrier_deviation=over_pairs([pair.error_barrier for pair in pairs], standard_deviation),
        loss_barrier_deviation=over_pairs([pair.loss_barrier for pair in pairs], standard_deviation),
        full_network_accuracy=full_network_accuracy,
        child_accuracy=accuracy,
        accuracy_gap=full_network_accuracy - accuracy,
        ensemble_accuracy=measured.ensemble_accuracy,
        analysis=settings,
        examples={
            **{split: next(row.examples for row in rows if row.split == split) for split in splits},
            "batchnorm": max(row.batchnorm_examples for row in rows),
        },
        children=measured.children,
        pairs=pairs,
    )


def with_barriers(pair: Distances, rows: Sequence[LinePoint]) -> Pair:
    own = [row for row in rows if (row.first_child, row.second_child) == pair.children]
    return Pair(**vars(pair), error_barrier=barriers(own, "error"), loss_barrier=barriers(own, "loss"))


def barriers(rows: Sequence[LinePoint], what: str) -> Barriers:
    """Return the barrier of ``error`` or ``loss`` on one line, by split and treatment."""
    return by_split_and_treatment(
        {row.split for row in rows},
        lambda split, treatment: barrier(
            [getattr(row, what) for row in rows if (row.split, row.batchnorm) == (split, treatment)]
        ),
    )


def over_pairs(pairs: Sequence[Barriers], how: Callable[[list[float | None]], float | None]) -> Barriers:
    return by_split_and_treatment(
        pairs[0].splits, lambda split, treatment: how([pair.at(split, treatment) for pair in pairs])
    )


def by_split_and_treatment(splits: Iterable[str], number: Callable[[str, str], float | None]) -> Barriers:
    return Barriers(
        **{split: Treatments(**{treatment: number(split, treatment) for treatment in TREATMENTS}) for split in splits}
    )


def child_values(rows: Sequence[LinePoint], split: str, what: str, children: int) -> list[Any]:
    """Return the raw error or loss of each child: the ends of the lines."""
    values = {}
    for row in rows:
        if row.split == split and row.batchnorm == "raw" and row.alpha in (0, 1):
            values[row.second_child if row.alpha else row.first_child] = getattr(row, what)
    return [values[number] for number in range(1, children + 1)]


def check_judged(settings: AnalysisHparams, data: TrainingData) -> None:
    """Raise ``UsageError`` if there are no images such as ``settings`` judge by."""
    if settings.judge_by not in data.sizes:
        raise UsageError(f"--judge_by={settings.judge_by}: there is no validation set; give --validation_fraction")


def chance_error(data: TrainingData, split: str = "test") -> float:
    """Return the error of always answering with the most frequent class."""
    labels = data.labels[split]
    return 1 - int(labels.bincount().max()) / len(labels)


# Barriers, and intervals of their means ------------------------------------------------------------------------------


def over_children(pairs: Mapping[tuple[int, int], float | None]) -> Interval | None:
    """Return an interval of the mean over all pairs; None for less than three children or without a value.

    Two pairs that share a child are not independent, so that the deviation over the pairs would say too little. The
    jackknife leaves out one child of n after the other, with all its pairs (Arvesen 1969, "Jackknifing U-statistics"):
    ``SE^2 = (n - 1) / n sum_i (m_(-i) - mean_j m_(-j))^2``, m_(-i) being the mean over the pairs without the child i.
    The interval is ``mean +- t SE`` with n - 1 degrees of freedom, and never below 0.
    """
    there = {pair: value for pair, value in pairs.items() if value is not None}
    children = {child for pair in pairs for child in pair}
    n = len(children)
    if n < 3 or len(there) < len(pairs):
        return None
    without = [statistics.fmean(value for pair, value in there.items() if child not in pair) for child in children]
    error = sqrt((n - 1) / n * sum((one - statistics.fmean(without)) ** 2 for one in without))
    return t_interval(statistics.fmean(there.values()), error, n - 1)


def over_replicates(values: Sequence[float | None]) -> Interval | None:
    """Return Student's interval of the mean over independent replicates; None for fewer than two or a missing value."""
    there = [value for value in values if value is not None]
    if len(there) < 2 or len(there) < len(values):
        return None
    error = statistics.stdev(there) / sqrt(len(there))
    return t_interval(statistics.fmean(there), error, len(there) - 1)


def t_interval(mean: float, error: float, freedom: int) -> Interval:
    """Return ``mean +- t error`` of what cannot be below 0, t being Student's with ``freedom`` degrees of freedom."""
    from scipy.special import stdtrit

    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Interval(max(0.0, mean - reach), mean + reach)


LEARNED = 0.9
"""Share of the error of guessing that a child must stay below to count as trained."""


def barrier(values: Sequence[float | None]) -> float | None:
    """Return ``max over a of E(W(a)) - (E(W(0)) + E(W(1))) / 2`` (Frankle et al. 2020, arXiv 1912.05671, section 2).

    Args:
        values: the error, or loss, at each alpha in ascending order, the two ends included.

    Returns:
        Never below 0, since the ends are among the values; None if any of them is None or not finite, or there is none.
    """
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite or len(finite) < len(values):
        return None
    return max(finite) - (finite[0] + finite[-1]) / 2


def has_learned(errors: Sequence[float], chance: float) -> bool:
    """Return whether every child is well below chance: its error is less than ``LEARNED`` times that of guessing.

    Two networks that have learned nothing err equally everywhere on the line between them. That is not stability.
    """
    return max(errors) < LEARNED * chance


def is_stable(error_barrier: float | None, threshold: float, learned: bool, interval: Interval | None = None) -> bool:
    """Return the verdict: the mean raw error barrier is below the threshold, and the ends have learned.

    Where there is an interval of that mean, all of it must be below the threshold.
    """
    if not learned or error_barrier is None:
        return False
    return (error_barrier if interval is None else interval.high) < threshold
