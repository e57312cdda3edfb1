"""``--k=auto``: the smallest stable k of a grid, found with few analyses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foundations.reporting import Reporter
from foundations.steps import Step
from stability.analysis import AnalysisAtK
from stability.criteria.criterion import Answer, Criterion, Question, criteria, last_iteration


def doubling(grid: Sequence[int], unit: int) -> list[int]:
    """Return the places of ``grid`` that are tried first: 0, those at or before 1, 2, 4, 8 ... units, and the last.

    ``grid`` has iterations in ascending order, and a unit is an epoch of them.
    """
    limits, epochs = [0], 1
    while epochs * unit < grid[-1]:
        limits.append(epochs * unit)
        epochs *= 2
    places = [
        max(place for place, iteration in enumerate(grid) if iteration <= max(limit, grid[0])) for limit in limits
    ]
    return list(dict.fromkeys([*places, len(grid) - 1]))


def smallest(grid: Sequence[int], unit: int, stable: Callable[[int], bool]) -> int | None:
    """Return the place of a stable k whose left neighbour in the grid is unstable; None if none is found.

    Doubling finds an unstable and a stable place, bisection narrows the bracket. Both of its ends have been analysed
    at every moment, none is inferred: barriers need not fall monotonically, so an earlier stable k that lies between
    two unstable ones may be missed, but what is returned was seen to be stable, and its neighbour to be unstable.
    """
    low = -1
    for high in doubling(grid, unit):
        if stable(high):
            break
        low = high
    else:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if stable(middle):
            high = middle
        else:
            low = middle
    return high


def most_probes(grid: Sequence[int], unit: int, cost: Callable[[int], int]) -> tuple[int, int]:
    """Return the largest number of analyses that a search can need, and their largest cost (0 for one that is done)."""
    searches = []
    for first_stable in range(len(grid) + 1):
        probed: list[int] = []

        def stable(place: int, first_stable: int = first_stable, probed: list[int] = probed) -> bool:
            probed.append(place)
            return place >= first_stable

        smallest(grid, unit, stable)
        searches.append([cost(place) for place in probed])
    return max(sum(1 for one in costs if one) for costs in searches), max(map(sum, searches))


def find_stable_k(
    runner_at: Callable[[Step], AnalysisAtK],
    analyse: Callable[[AnalysisAtK], None],
    max_k: Step | None,
    reporter: Reporter,
) -> tuple[Step | None, list[AnalysisAtK]]:
    """Double, then bisect on the steps that the trunk saves unasked; say beforehand what that can cost.

    A k near the end is trivially stable, so the search ends at half the training unless ``max_k`` says otherwise.
    Interrupted, it goes on where it was: every analysis lies in a directory of its own.

    Returns:
        The smallest k found stable, or None, and the analyses made, by k.
    """
    first = runner_at(Step(0))
    trunk, children = first.trunk, first.settings.children
    limit = last_iteration(trunk, max_k, trunk.end // 2)
    grid = [iteration for iteration in trunk.grid() if iteration <= limit]
    runners: dict[int, AnalysisAtK] = {}

    def runner(place: int) -> AnalysisAtK:
        if place not in runners:
            runners[place] = runner_at(Step.at(grid[place], trunk.per_epoch))
        return runners[place]

    def cost(place: int) -> int:
        return 0 if runner(place).done else max(1, children * (trunk.end - grid[place]))

    analyses, steps = most_probes(grid, trunk.per_epoch, cost)
    reporter.say(
        f"--k=auto: {len(grid)} steps from 0 to {Step.at(grid[-1], trunk.per_epoch).short}; at most {analyses} more "
        f"analyses of {children} children, {steps} optimizer steps beside the trunk's {trunk.end}"
    )
    probed: dict[int, AnalysisAtK] = {}

    def stable(place: int) -> bool:
        probed[place] = runner(place)
        analyse(probed[place])
        result = probed[place].result()
        reporter.say(f"--k=auto: {probed[place].k.short} is {result.text}")
        return result.stable

    found = smallest(grid, trunk.per_epoch, stable)
    return None if found is None else probed[found].k, [probed[place] for place in sorted(probed)]


@criteria.register("auto")
@dataclass(frozen=True, kw_only=True)
class Auto(Criterion):
    """The smallest k found stable to SGD noise by instability analyses."""

    def find(self, question: Question) -> Answer:
        k, analyses = find_stable_k(question.at, question.complete, question.max_k, question.reporter)
        return Answer(k, analyses)
