"""Running a check: its experiments in one plan, and its claims against what came of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.checks.registry import Check, Claim, Protocol
from experiments.grid import Grid
from experiments.workspace import Workspace
from foundations.averages import average, standard_deviation
from foundations.errors import UsageError, near_misses
from training.data.torchvision_sets import is_there


@dataclass(frozen=True)
class Outcome:
    """A claim, and what we have found.

    Args:
        what: the claim is about.
        theirs: the published number.
        tolerance: how far ours may be off.
        side: on which sides.
        ours: the mean; None if nothing has come to a result.
        deviation: the standard deviation over replicates; None for fewer than two.
        replicates: that have a result.
        holds: whether the claim does.
    """

    what: str
    theirs: float
    tolerance: float
    side: str
    ours: float | None
    deviation: float | None
    replicates: int
    holds: bool

    @property
    def difference(self) -> float | None:
        """Ours minus theirs."""
        return None if self.ours is None else self.ours - self.theirs

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "difference": self.difference}


def with_dataset(check: Check, given: str | None, data_dir: Path) -> str:
    """The data set that a check is done on: the one given, or the first of its own that is there.

    Raises:
        UsageError: the check is not defined on the one given, or none is there.
    """
    if given is not None:
        if given not in check.datasets:
            raise UsageError(f"--dataset={given}: not of this check{near_misses(given, check.datasets)}; "
                             f"valid: {', '.join(check.datasets)}")  # fmt: skip
        return given
    check.prepare(data_dir)
    there = [name for name in check.datasets if is_there(name, data_dir)]
    if not there:
        raise UsageError(f"--data_dir={data_dir}: has none of {', '.join(check.datasets)}; docs/methods.md says where "
                         "to get them")  # fmt: skip
    return there[0]


def grids(protocol: Protocol, session: Workspace) -> dict[str, Grid]:
    """The experiments of each run."""
    return {name: run.grid(session) for name, run in protocol.runs.items()}


def planned(protocol: Protocol, session: Workspace) -> Grid:
    """All experiments of a check together, to be run or shown as one plan."""
    return Grid(session, "check", [item for grid in grids(protocol, session).values() for item in grid.items])


def outcomes(protocol: Protocol, session: Workspace) -> list[Outcome]:
    """What has come of each claim so far."""
    rows = {
        name: [row for experiment in grid.experiments for row in experiment.rows()]
        for name, grid in grids(protocol, session).items()
    }
    return [outcome(claim, claim.measure(rows)) for claim in protocol.claims]


def outcome(claim: Claim, values: Mapping[int, float]) -> Outcome:
    """A claim and the number of each replicate."""
    found = list(values.values())
    ours = average(found)
    return Outcome(
        what=claim.what, theirs=claim.theirs, tolerance=claim.tolerance, side=claim.side, ours=ours,
        deviation=standard_deviation(found), replicates=len(found), holds=ours is not None and claim.holds(ours),
    )  # fmt: skip
