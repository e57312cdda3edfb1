"""The smallest stable k of a grid, found with few analyses."""

from collections.abc import Callable, Sequence


def doubling(grid: Sequence[int], unit: int) -> list[int]:
    """The places of ``grid`` that are tried first: 0, then those at or before 1, 2, 4, 8 ... units, then the last.

    Args:
        grid: iterations in ascending order.
        unit: iterations in an epoch.
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
    """The place of a stable k whose left neighbour in the grid is unstable; None if none is found.

    Doubling finds an unstable and a stable place, bisection narrows the bracket. Both of its ends have been analysed
    at every moment, none is inferred: barriers need not fall monotonically, so an earlier stable k that lies between
    two unstable ones may be missed, but what is returned was seen to be stable, and its neighbour to be unstable.

    Args:
        grid: iterations in ascending order.
        unit: iterations in an epoch.
        stable: analyses a place of the grid.
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
    """The largest number of analyses that a search can need, and their largest cost.

    Args:
        grid: iterations in ascending order.
        unit: iterations in an epoch.
        cost: of analysing a place of the grid; 0 for one that is done.
    """
    searches = []
    for first_stable in range(len(grid) + 1):
        probed: list[int] = []

        def stable(place: int, first_stable: int = first_stable, probed: list[int] = probed) -> bool:
            probed.append(place)
            return place >= first_stable

        smallest(grid, unit, stable)
        searches.append([cost(place) for place in probed])
    return max(sum(1 for one in costs if one) for costs in searches), max(map(sum, searches))
