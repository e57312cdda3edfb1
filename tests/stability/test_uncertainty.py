"""How sure a mean barrier is."""

import pytest

from stability.barrier import over_children, over_replicates


def test_replicates_by_hand() -> None:
    """1, 2, 3: mean 2, standard error 1 / sqrt(3); t = 2.920 for 2 degrees of freedom, of which 5% lie above."""
    low, high = over_replicates([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 2.920 / 3**0.5, 2 + 2.920 / 3**0.5), abs=1e-3)


def test_three_children_by_hand() -> None:
    """Without a child one pair is left. SE^2 = 2/3 (1 + 0 + 1), twice as wide as of three independent numbers."""
    low, high = over_children({(1, 2): 4.0, (1, 3): 5.0, (2, 3): 6.0})
    assert high - 5 == pytest.approx(2.920 * (4 / 3) ** 0.5, abs=1e-3)
    assert low == pytest.approx(5 - 2.920 * (4 / 3) ** 0.5, abs=1e-3)


def test_one_child_that_is_unlike_the_others_is_one_observation() -> None:
    """Six pairs of four children; three of them have a barrier, all because of child 4."""
    pairs = {(one, other): float(other == 4) for one in range(1, 4) for other in range(one + 1, 5)}
    low, high = over_children(pairs)
    assert low == 0  # 0.5 - 2.35 * 0.43: there may be no barrier at all
    assert high > 1


def test_no_interval_without_two_observations() -> None:
    assert over_replicates([0.1]) is None
    assert over_replicates([0.1, None]) is None
    assert over_children({(1, 2): 0.1}) is None
    assert over_children({(1, 2): 0.1, (1, 3): None, (2, 3): 0.1}) is None


def test_a_barrier_is_never_below_zero() -> None:
    assert over_replicates([0.0, 0.1]).low == 0
    assert over_replicates([0.1, 0.1]) == (0.1, 0.1)
