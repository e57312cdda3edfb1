"""Paired differences with Student's intervals, and Holm's correction, against numbers worked out by hand."""

import pytest

from foundations.comparisons import PairedDifference, difference, holm, of_differences


def test_two_replicates_say_little() -> None:
    """t with one degree of freedom is 12.7: 1.92 +- 0.96 x 12.7."""
    found = difference({1: 64.0, 2: 65.0}, {1: 63.04, 2: 62.12})
    assert found is not None
    assert (found.n, found.decided) == (2, False)
    assert (found.mean, found.low, found.high) == pytest.approx((1.92, -10.28, 14.12), abs=0.01)
    assert found.p == pytest.approx(0.295, abs=0.001)
    assert found.text() == "+1.92 (-10.28 to 14.12), n = 2"


def test_pairs_are_replicates_that_both_have() -> None:
    found = difference({1: 0.5, 2: 0.6, 3: 0.7}, {3: 0.6, 2: 0.5, 4: 0.0})
    assert found is not None
    assert (found.n, found.mean) == (2, pytest.approx(0.1))
    assert difference({1: 0.5}, {2: 0.5}) is None


def test_what_replicates_share_drops_out() -> None:
    """Replicates lie 10 points apart, the methods 1 point: paired it is seen."""
    found = difference({1: 60.0, 2: 70.1, 3: 80.0}, {1: 59.0, 2: 69.0, 3: 79.1})
    assert found is not None
    assert found.decided
    assert (found.low, found.high) == pytest.approx((0.752, 1.248), abs=0.001)


def test_one_replicate_has_no_interval() -> None:
    found = of_differences([0.4])
    assert found == PairedDifference(1, 0.4)
    assert (found.decided, found.text(100)) == (False, "+40.00, n = 1")
    assert of_differences([]) is None


def test_equal_differences_have_no_width() -> None:
    assert of_differences([0.0, 0.0]) == PairedDifference(2, 0.0, 0.0, 0.0, 1.0)
    assert of_differences([1.0, 1.0]) == PairedDifference(2, 1.0, 1.0, 1.0, 0.0)


def test_holm_by_hand() -> None:
    """Three comparisons: 3 x 0.01, 2 x 0.02 and 1 x 0.03, none smaller than the one before it."""
    assert holm([0.02, None, 0.01, 0.03]) == pytest.approx([0.04, None, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
