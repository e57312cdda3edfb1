"""Barriers and verdicts by hand."""

import math

import pytest

from stability.barrier import barrier, has_learned, is_stable


def test_the_barrier_is_the_highest_error_over_the_mean_of_the_ends() -> None:
    assert barrier([0.1, 0.5, 0.4, 0.2]) == pytest.approx(0.5 - 0.15)


def test_no_rise_is_no_barrier() -> None:
    assert barrier([0.2, 0.2, 0.2]) == 0
    assert barrier([0.3, 0.1, 0.3]) == 0


def test_a_line_that_only_falls_has_half_its_fall_as_barrier() -> None:
    """By the definition: the worse end is itself a point on the line."""
    assert barrier([0.4, 0.3, 0.2]) == pytest.approx(0.1)


def test_a_value_that_is_missing_or_not_finite_leaves_no_barrier() -> None:
    assert barrier([0.1, None, 0.1]) is None
    assert barrier([0.1, math.inf, 0.1]) is None
    assert barrier([math.nan, 0.1, 0.1]) is None


@pytest.mark.parametrize(
    ("error_barrier", "learned", "stable"),
    [(0.019, True, True), (0.02, True, False), (0.5, True, False), (0.0, False, False), (None, True, False)],
)
def test_stable_is_below_the_threshold_and_having_learned(error_barrier, learned, stable) -> None:
    assert is_stable(error_barrier, 0.02, learned) is stable


def test_two_networks_at_chance_level_have_not_learned() -> None:
    assert not has_learned([0.9, 0.9], chance=0.9)
    assert not has_learned([0.1, 0.85], chance=0.9)  # one of them is enough
    assert has_learned([0.5, 0.6], chance=0.9)
