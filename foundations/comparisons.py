"""Whether one method is better than another: differences by replicate, their intervals, and several at once.

Methods of one replicate share their initialization and their trunk, so what they differ in is measured best replicate
by replicate: the variance that both have in common drops out.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairedDifference:
    """Student's comparison of paired values, d_i = ours_i - theirs_i of each replicate i that both have.

    The interval is mean(d) +- t sd(d) / sqrt(n), t with n - 1 degrees of freedom at ``CONFIDENCE``. It covers
    replicates (initialization, data order, augmentation), not test images, and supposes d to be near normal.
    """

    n: int
    mean: float
    low: float | None = None
    """The interval's ends; None for a single replicate."""
    high: float | None = None
    p: float | None = None
    """Two-sided, of a mean of 0; None for a single replicate."""

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def text(self, unit: float = 1.0) -> str:
        """Return ``+1.92 (-4.10 to 7.94), n = 2``, in multiples of 1 / ``unit``."""
        ends = "" if self.low is None or self.high is None else f" ({unit * self.low:.2f} to {unit * self.high:.2f})"
        return f"{unit * self.mean:+.2f}{ends}, n = {self.n}"


def difference(ours: Mapping[Hashable, float], theirs: Mapping[Hashable, float]) -> PairedDifference | None:
    """Compare two methods by the values of their replicates; None if they have no replicate in common."""
    return of_differences([ours[replicate] - theirs[replicate] for replicate in ours if replicate in theirs])


def of_differences(values: Sequence[float]) -> PairedDifference | None:
    """Return Student's interval and test of the mean of some differences; None if there are none."""
    n = len(values)
    if n < 2:
        return PairedDifference(n, values[0]) if values else None
    mean = fmean(values)
    if stdev(values) == 0:  # of which no test can be made
        return PairedDifference(n, mean, mean, mean, 1.0 if mean == 0 else 0.0)
    from scipy.stats import ttest_1samp

    test = ttest_1samp(values, 0.0)
    interval = test.confidence_interval(CONFIDENCE)
    return PairedDifference(n, mean, float(interval.low), float(interval.high), float(test.pvalue))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p-values of several comparisons so that one below 5% is wrong in at most 5% of all tables.

    Holm 1979, "A simple sequentially rejective multiple test procedure": with the m values in ascending order,
    p'_i = max over j <= i of min(1, (m - j + 1) p_j). A value that is None counts as no comparison and stays None.
    """
    order = sorted((value, place) for place, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, place) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * value))
        adjusted[place] = largest
    return adjusted
