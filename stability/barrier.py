"""Barriers from errors along a line, and how sure they are."""

import math
import statistics
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import NamedTuple

CONFIDENCE = 0.9
"""Of an interval: the truth lies above it in a twentieth of all cases, and below it in another."""


class Interval(NamedTuple):
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def over_children(pairs: Mapping[tuple[int, int], float | None]) -> Interval | None:
    """An interval of the mean over all pairs of children; None for less than three children or without a value.

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
    """``mean +- t error`` of what cannot be below 0, t being Student's with ``freedom`` degrees of freedom."""
    from scipy.special import stdtrit

    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return Interval(max(0.0, mean - reach), mean + reach)


LEARNED = 0.9
"""Share of the error of guessing that a child must stay below to count as trained."""


def barrier(values: Sequence[float | None]) -> float | None:
    """``max over a of E(W(a)) - (E(W(0)) + E(W(1))) / 2`` (Frankle et al. 2020, arXiv 1912.05671, section 2).

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
    """Whether every child is well below chance level: its error is less than ``LEARNED`` times that of guessing.

    Two networks that have learned nothing err equally everywhere on the line between them. That is no stability.
    """
    return max(errors) < LEARNED * chance


def is_stable(error_barrier: float | None, threshold: float, learned: bool, interval: Interval | None = None) -> bool:
    """The verdict: the mean raw error barrier is below the threshold, and the ends have learned.

    Where there is an interval of that mean, all of it must be below the threshold.
    """
    if not learned or error_barrier is None:
        return False
    return (error_barrier if interval is None else interval.high) < threshold
