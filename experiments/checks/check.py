"""What a check is, and how it is run: ordinary experiments, and what a publication says that comes of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Literal

from experiments.define.grid import Grid
from experiments.workspace import Workspace
from foundations.averages import average, standard_deviation
from foundations.errors import UsageError, near_misses
from foundations.formats import Row
from foundations.registry import Registry
from foundations.steps import Step
from training.data.torchvision_sets import is_there

Rows = Mapping[str, Sequence[Row]]
"""The rows of each run, by its name."""
Measure = Callable[[Rows], dict[int, float]]
"""From rows to a number for each replicate that has one."""

SIZES = ("small", "full")
"""``full`` is the published protocol; ``small`` fits two CPU cores where that can be."""


@dataclass(frozen=True)
class Run:
    """Experiments of one command, with its flags as typed values or lists of them."""

    command: str
    flags: Mapping[str, Any]
    branch: str | None = None


@dataclass(frozen=True)
class Claim:
    """A number that a publication states.

    The tolerance of a difference must be smaller than the difference itself, or a method without effect passes.

    Args:
        what: it is, with its unit.
        measure: takes it from the results, for each replicate.
        theirs: what the publication, or the record, says.
        tolerance: how far our mean may be off.
        side: off on both sides (``within``), or below (``at least``) or above it (``at most``) only; ``above``: every
            replicate must lie above it, for what is zero if two networks are one.
    """

    what: str
    measure: Measure
    theirs: float
    tolerance: float
    side: Literal["within", "at least", "at most", "above"] = "within"

    def holds(self, values: Collection[float]) -> bool:
        """Return whether the numbers of the replicates fulfil it; none do not."""
        if not values:
            return False
        if self.side == "above":
            return min(values) > self.theirs
        off = fmean(values) - self.theirs
        below, above = off >= -self.tolerance, off <= self.tolerance
        return {"within": below and above, "at least": below, "at most": above}[self.side]


@dataclass(frozen=True)
class Protocol:
    """What a check runs, at one size on one data set.

    Args:
        runs: by name; over the same trunks where their training is the same.
        claims: what is to come of them.
        source: where the claims' numbers are from.
        evaluate_every: how often the test set, and the validation set, are evaluated.
    """

    runs: Mapping[str, Run]
    claims: Sequence[Claim]
    source: str
    evaluate_every: Step = field(default=Step("1ep"))

    def with_replicates(self, number: int) -> "Protocol":
        replicates = range(1, number + 1)
        runs = {name: replace(run, flags={**run.flags, "replicate": replicates}) for name, run in self.runs.items()}
        return replace(self, runs=runs)


class Check(ABC):
    """A published result. The first line of the docstring is what ``check`` lists."""

    datasets: ClassVar[tuple[str, ...]]
    """On which it can be checked; the first one that is there is taken."""

    @abstractmethod
    def protocol(self, size: str, dataset: str) -> Protocol:
        """Return what is run and claimed at a size, one of ``SIZES``, on one of :attr:`datasets`."""

    def prepare(self, data_dir: Path) -> None:  # noqa: B027  # most have nothing to make
        """Make data that can be made."""


checks: Registry[type[Check]] = Registry("check")


def column(run: str, name: str, *, unit: float = 1.0, **entries: Any) -> Measure:
    """Return the measure that takes a column, of the row of each replicate that has ``entries``.

    Fractions among ``entries``, such as a density, may be a hundredth off.
    """

    def measure(rows: Rows) -> dict[int, float]:
        found = [row for row in rows[run] if all(is_like(row.get(key), value) for key, value in entries.items())]
        return {row["replicate"]: unit * row[name] for row in found if row.get(name) is not None}

    return measure


def percent(run: str, name: str, **entries: Any) -> Measure:
    return column(run, name, unit=100.0, **entries)


def is_like(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float):
        return abs(found - wanted) <= 0.01 * wanted
    return bool(found == wanted)


def minus(one: Measure, other: Measure) -> Measure:

    def measure(rows: Rows) -> dict[int, float]:
        first, second = one(rows), other(rows)
        return {replicate: first[replicate] - second[replicate] for replicate in first if replicate in second}

    return measure


def apart(one: Measure, other: Measure) -> Measure:
    """Return the difference without its sign: 0 if two networks are one."""
    return lambda rows: {replicate: abs(value) for replicate, value in minus(one, other)(rows).items()}


def error(accuracy: Measure) -> Measure:
    return lambda rows: {replicate: 100 - value for replicate, value in accuracy(rows).items()}


def two_networks(run: str, learned: float, tolerance: float) -> list[Claim]:
    """Return the claims without which a small barrier says nothing: the children are two, and have learned.

    Args:
        run: an instability analysis.
        learned: the accuracy (%) that the children should come to.
        tolerance: how far below they may be.
    """
    return [
        Claim(f"{run}: L2 distance of the children", column(run, "l2"), 0.0, 0.0, "above"),
        Claim(f"{run}: disagreement of the children (%)", percent(run, "disagreement"), 0.0, 0.0, "above"),
        Claim(f"{run}: accuracy of the children (%)", percent(run, "child_accuracy"), learned, tolerance, "at least"),
    ]


@dataclass(frozen=True)
class Outcome:
    """A claim, and the number of each replicate that has come to a result."""

    claim: Claim
    found: Sequence[float]

    @property
    def ours(self) -> float | None:
        """The mean; None without results."""
        return average(self.found)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over replicates; None for fewer than two."""
        return standard_deviation(self.found)

    @property
    def difference(self) -> float | None:
        return None if self.ours is None else self.ours - self.claim.theirs

    @property
    def holds(self) -> bool:
        return self.claim.holds(self.found)

    def to_dict(self) -> dict[str, Any]:
        return {
            "what": self.claim.what, "theirs": self.claim.theirs, "tolerance": self.claim.tolerance,
            "side": self.claim.side, "ours": self.ours, "deviation": self.deviation, "replicates": len(self.found),
            "holds": self.holds, "difference": self.difference,
        }  # fmt: skip


def with_dataset(check: Check, given: str | None, data_dir: Path) -> str:
    """Return the data set that a check is done on: the one given, or the first of its own that is there.

    Raises:
        UsageError: the check is not defined on the one given, or none is there.
    """
    if given is not None:
        if given not in check.datasets:
            hint = near_misses(given, check.datasets)
            raise UsageError(f"--dataset={given}: not of this check{hint}; valid: {', '.join(check.datasets)}")
        return given
    check.prepare(data_dir)
    there = [name for name in check.datasets if is_there(name, data_dir)]
    if not there:
        found = f"--data_dir={data_dir}: has none of {', '.join(check.datasets)}"
        raise UsageError(f"{found}; docs/methods.md says where to get them")
    return there[0]


def grids(protocol: Protocol, session: Workspace) -> dict[str, Grid]:
    return {name: Grid.of(session, run.command, run.flags, run.branch) for name, run in protocol.runs.items()}


def planned(protocol: Protocol, session: Workspace) -> Grid:
    """Return all experiments of a check together, to be run or shown as one plan."""
    return Grid(session, "check", [item for grid in grids(protocol, session).values() for item in grid.items])


def outcomes(protocol: Protocol, session: Workspace) -> list[Outcome]:
    """Return what has come of each claim so far."""
    rows = {name: [row for one in grid for row in one.rows()] for name, grid in grids(protocol, session).items()}
    return [Outcome(claim, list(claim.measure(rows).values())) for claim in protocol.claims]
