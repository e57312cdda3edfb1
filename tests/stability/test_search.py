"""Doubling and bisection over made-up curves."""

import itertools

import pytest

from stability.criteria.auto import doubling, most_probes, smallest

GRID = [0, 10, 20, 30, 40, 50, 60, 70, 80]  # 8 epochs of 10 iterations


def probing(*stable: int):
    """A judge of places that says which it was asked about."""
    asked: list[int] = []

    def judge(place: int) -> bool:
        asked.append(place)
        return place in stable

    return judge, asked


def test_doubling_goes_from_zero_to_the_end_of_the_grid() -> None:
    assert [GRID[place] for place in doubling(GRID, 10)] == [0, 10, 20, 40, 80]
    assert [GRID[:7][place] for place in doubling(GRID[:7], 10)] == [0, 10, 20, 40, 60]
    assert doubling([0], 10) == [0]


@pytest.mark.parametrize("first", range(9))
def test_it_finds_the_first_stable_place_of_a_monotone_curve(first: int) -> None:
    judge, asked = probing(*range(first, 9))
    assert smallest(GRID, 10, judge) == first
    assert first in asked
    assert first == 0 or first - 1 in asked  # both ends of the bracket were looked at
    assert len(asked) == len(set(asked))


def test_a_network_that_is_stable_at_once_needs_one_analysis() -> None:
    judge, asked = probing(*range(9))
    smallest(GRID, 10, judge)
    assert asked == [0]


def test_no_stable_place_is_none() -> None:
    judge, asked = probing()
    assert smallest(GRID, 10, judge) is None
    assert asked == doubling(GRID, 10)


def test_whatever_the_curve_the_result_is_stable_and_its_neighbour_is_not() -> None:
    for curve in itertools.product([False, True], repeat=6):
        judged: dict[int, bool] = {}
        found = smallest(GRID[:6], 10, lambda place, curve=curve, judged=judged: judged.setdefault(place, curve[place]))
        if found is not None:
            assert judged[found]
            assert found == 0 or judged[found - 1] is False


def test_the_cost_said_beforehand_is_the_worst_case() -> None:
    cost = {place: 100 - place for place in range(9)}
    analyses, steps = most_probes(GRID, 10, lambda place: cost[place])
    assert analyses == 7  # 0, 10, 20, 40, 80, then 60 and 50 or 70
    assert steps == 100 + 99 + 98 + 96 + 92 + 94 + 95
    assert most_probes(GRID, 10, lambda place: 0) == (0, 0)
