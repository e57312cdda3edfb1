"""What a check is, and how it is run: ordinary experiments, and what a publication says that comes of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Literal

from experiments.define.grid import Grid
from experiments.workspace import Workspace
from foundations.averages import average, standard_deviation
from foundations.errors import UsageError, near_misses
from foundations.registry import Registry
from foundations.steps import Step
from training.data.torchvision_sets import is_there

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
"""The rows of each run, by its name."""
Measure = Callable[[Rows], dict[int, float]]
"""From rows to a number for each replicate that has one."""

SIZES = ("small", "full")
"""``full`` is the published protocol; ``small`` fits two CPU cores where that can be."""


@dataclass(frozen=True)
class Run:
    """Experiments of one command.

    Args:
        command: ``lottery``, ``stability``, ``lottery_branch`` or ``train``.
        flags: of the command, as typed values or lists of them.
        branch: the name of a branch.
    """

    command: str
    flags: Mapping[str, Any]
    branch: str | None = None

    def grid(self, session: Workspace) -> Grid:
        """The experiments, defined and not computed."""
        return Grid.of(session, self.command, self.flags, self.branch)


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
        """Whether the numbers of the replicates, of which there must be one, fulfil it."""
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
        """The same with replicates 1 to ``number``."""
        replicates = range(1, number + 1)
        runs = {name: replace(run, flags={**run.flags, "replicate": replicates}) for name, run in self.runs.items()}
        return replace(self, runs=runs)


class Check(ABC):
    """A published result. The first line of the docstring is what ``check`` lists."""

    datasets: ClassVar[tuple[str, ...]]
    """On which it can be checked; the first one that is there is taken."""

    @abstractmethod
    def protocol(self, size: str, dataset: str) -> Protocol:
        """What is run and claimed at a size, one of ``SIZES``, on one of :attr:`datasets`."""

    def prepare(self, data_dir: Path) -> None:  # noqa: B027  # most have nothing to make
        """Makes data that can be made."""


checks: Registry[type[Check]] = Registry("check")


# Measures ----------------------------------------------------------------------------------------------------------


def column(run: str, name: str, *, unit: float = 1.0, **entries: Any) -> Measure:
    """A column, of the row of each replicate that has ``entries``, of which a density may be rounded."""

    def measure(rows: Rows) -> dict[int, float]:
        found = [row for row in rows[run] if all(is_like(row.get(key), value) for key, value in entries.items())]
        return {row["replicate"]: unit * row[name] for row in found if row.get(name) is not None}

    return measure


def percent(run: str, name: str, **entries: Any) -> Measure:
    """The same in percent."""
    return column(run, name, unit=100.0, **entries)


def is_like(found: Any, wanted: Any) -> bool:
    """Equal; of fractions up to a hundredth of their size."""
    if isinstance(wanted, float) and isinstance(found, float):
        return abs(found - wanted) <= 0.01 * wanted
    return bool(found == wanted)


def minus(one: Measure, other: Measure) -> Measure:
    """The difference, replicate by replicate."""

    def measure(rows: Rows) -> dict[int, float]:
        first, second = one(rows), other(rows)
        return {replicate: first[replicate] - second[replicate] for replicate in first if replicate in second}

    return measure


def apart(one: Measure, other: Measure) -> Measure:
    """The difference without its sign: 0 if two networks are one."""
    return lambda rows: {replicate: abs(value) for replicate, value in minus(one, other)(rows).items()}


def error(accuracy: Measure) -> Measure:
    """100 minus an accuracy in percent."""
    return lambda rows: {replicate: 100 - value for replicate, value in accuracy(rows).items()}


# Claims that several checks make -----------------------------------------------------------------------------------


def two_networks(run: str, learned: float, tolerance: float) -> list[Claim]:
    """Without which a small barrier says nothing: the children are two, and have learned.

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
        deviation=standard_deviation(found), replicates=len(found), holds=claim.holds(found),
    )  # fmt: skip
