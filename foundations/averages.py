"""Mean and standard deviation of values of which some may be missing."""

import statistics
from collections.abc import Sequence


def average(values: Sequence[float | None]) -> float | None:
    """Return the mean; None if any value is missing or there is none."""
    there = [value for value in values if value is not None]
    return statistics.mean(there) if there and len(there) == len(values) else None


def standard_deviation(values: Sequence[float | None]) -> float | None:
    """Return that of a sample (with n - 1); None for fewer than two values or if any is missing."""
    there = [value for value in values if value is not None]
    return statistics.stdev(there) if len(there) == len(values) >= 2 else None
