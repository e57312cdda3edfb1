"""``--k=auto``: runs analyses until the smallest stable k of the trunk's grid is found."""

from collections.abc import Callable

from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from stability.runner import StabilityRunner
from stability.search import most_probes, smallest


def find_stable_k(
    runner_at: Callable[[Step], StabilityRunner],
    analyse: Callable[[StabilityRunner], None],
    max_k: Step | None,
    reporter: Reporter,
) -> tuple[Step | None, list[StabilityRunner]]:
    """Doubling, then bisection, on the steps that the trunk saves unasked; says beforehand what it can cost.

    A k near the end is trivially stable, so the search ends at half the training unless ``max_k`` says otherwise.
    Interrupted, it goes on where it was: every analysis lies in a directory of its own.

    Args:
        runner_at: makes the analysis at a step.
        analyse: completes it.
        max_k: the largest step tried.
        reporter: shows the cost and each verdict.

    Returns:
        The smallest k found stable, or None, and the analyses made, by k.
    """
    first = runner_at(Step(0))
    trunk, children = first.trunk, first.settings.children
    limit = trunk.end // 2 if max_k is None else trunk.iteration(max_k)
    if limit > trunk.end:
        raise UsageError(f"--max_k={Step(max_k or 0).short}: beyond the end of training")
    grid = [iteration for iteration in trunk.grid() if iteration <= limit]
    runners: dict[int, StabilityRunner] = {}

    def runner(place: int) -> StabilityRunner:
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
    probed: dict[int, StabilityRunner] = {}

    def stable(place: int) -> bool:
        probed[place] = runner(place)
        analyse(probed[place])
        result = probed[place].result()
        reporter.say(f"--k=auto: {probed[place].k.short} is {result.text}")
        return result.stable

    found = smallest(grid, trunk.per_epoch, stable)
    return None if found is None else probed[found].k, [probed[place] for place in sorted(probed)]
