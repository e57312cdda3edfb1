"""From errors along a line to a verdict."""

import math
from collections.abc import Sequence

from stability.uncertainty import Interval

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

    Args:
        errors: the children's errors on the images that are judged by.
        chance: the error of always answering with the most frequent class of these.
    """
    return max(errors) < LEARNED * chance


def is_stable(error_barrier: float | None, threshold: float, learned: bool, interval: Interval | None = None) -> bool:
    """The verdict: the mean raw error barrier is below the threshold, and the ends have learned.

    Where there is an interval of that mean, all of it must be below the threshold.
    """
    if not learned or error_barrier is None:
        return False
    return (error_barrier if interval is None else interval.high) < threshold
