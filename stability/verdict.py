"""instability.json: what an instability analysis found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from foundations import files
from foundations.averages import average
from foundations.hparams import canonical
from foundations.steps import Step
from foundations.store import Store
from stability.desc import AnalysisHparams
from stability.rows import ALIGNED, BATCHNORM, SPLITS
from training.metrics import VALIDATION

Number = float | None
"""None stands for what is not finite, since JSON has no number for it."""

DISTANCES = ("l2", "angular", "disagreement", "classification_difference")
"""Between two children; see ``stability.distances``."""
ALIGNED_DISTANCES = ("aligned_l2", "channels_moved")
"""Between two children that were aligned; see ``stability.alignment``."""

ON_DISK = {
    "error_barrier_deviation": "error_barrier_spread",
    "loss_barrier_deviation": "loss_barrier_spread",
}
"""Keys of the file that are not the names of their fields."""
ABSENT: Mapping[str, Any] = {
    "level": None, VALIDATION: None, "judge_by": "test", "aligned": None, "aligned_recalculated": None,
    "aligned_l2": None, "channels_moved": None, "error_barrier_interval": None, "ensemble_accuracy": None,
}  # fmt: skip
"""Entries that the file leaves out where they have these values."""


class Interval(NamedTuple):
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Treatments:
    """A number for each treatment of BatchNorm's statistics (see ``rows.LinePoint``)."""

    raw: Number
    recalculated: Number
    aligned: Number = None
    """This and the next are None as well if the children were not aligned."""
    aligned_recalculated: Number = None


@dataclass(frozen=True)
class Barriers:
    """A number for each split and treatment."""

    test: Treatments
    train: Treatments
    validation: Treatments | None = None
    """None without a validation set."""

    @property
    def splits(self) -> tuple[str, ...]:
        return SPLITS if self.validation is None else (*SPLITS, VALIDATION)

    def at(self, split: str, treatment: str) -> Number:
        number: Number = getattr(getattr(self, split), treatment)
        return number


@dataclass(frozen=True, kw_only=True)
class Child:
    """A child as it was trained, and how far it has come."""

    child: int
    """Its number, from 1 on."""
    lr: float
    weight_decay: float
    l2_from_start: Number
    """L2 distance of its parameters from the state that it started from."""
    angular_from_start: Number
    """The angle between them, in radians."""


@dataclass(frozen=True, kw_only=True)
class Distances:
    """How far two children are apart; see ``stability.distances``."""

    children: tuple[int, int]
    l2: Number
    angular: Number
    """In radians."""
    disagreement: float
    classification_difference: float
    layer_l2: Mapping[str, Number]
    """The L2 distance by parameter."""
    aligned_l2: Number = None
    """The L2 distance once the second's channels are permuted; None if they were not."""
    channels_moved: Number = None
    """The share of the hidden channels that are then in another place."""


@dataclass(frozen=True, kw_only=True)
class Pair(Distances):
    """Two children and the barriers between them."""

    error_barrier: Barriers
    loss_barrier: Barriers

    @property
    def distances(self) -> Distances:
        return Distances(**{item.name: getattr(self, item.name) for item in fields(Distances)})


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Is a network stable to SGD noise, and by how much? Errors and accuracies are fractions of 1, losses in nats.

    A field that is added later has a default, which means what was done before it was there.
    """

    k: Step
    strategy: str
    """``none`` for the full network."""
    level: int | None = None
    """In a lottery run."""
    density: float
    """Of the prunable weights that are not in ignored layers."""
    threshold: float
    stable: bool
    learned: bool
    """Whether every child is well below chance level."""
    child_error: Mapping[str, Sequence[float]]
    """By split, each child's."""
    child_loss: Mapping[str, Sequence[Number]]
    error_barrier: Barriers
    """Means over the pairs."""
    error_barrier_interval: Interval | None = None
    """Of the mean raw error barrier on the split that is judged by, see ``barrier.over_children``; None for a
    single pair, and where an older program went by the mean alone."""
    loss_barrier: Barriers
    error_barrier_deviation: Barriers
    """Standard deviations over the pairs; None for a single pair."""
    loss_barrier_deviation: Barriers
    full_network_accuracy: float
    child_accuracy: float
    """Mean over the children, on the test set."""
    accuracy_gap: float
    """Full network minus children."""
    ensemble_accuracy: Number = None
    """Of all children together, on the test set; None where an older program did not measure it."""
    analysis: AnalysisHparams
    """The settings that it answers."""
    examples: Mapping[str, int]
    """Images measured on, by split, and ``batchnorm`` for recalculating statistics (0: none)."""
    children: Sequence[Child]
    pairs: Sequence[Pair]

    @property
    def test_barrier(self) -> float | None:
        """Mean raw error barrier on the test set."""
        return self.error_barrier.test.raw

    @property
    def judged_barrier(self) -> float | None:
        """Mean raw error barrier on the split that is judged by."""
        return self.error_barrier.at(self.analysis.judge_by, "raw")

    @property
    def text(self) -> str:
        """``stable``, ``unstable``, ``undecided``, or why two useless networks do not count."""
        if self.stable:
            return "stable"
        if not self.learned:
            return "unstable (at chance level)"
        interval = self.error_barrier_interval
        return "undecided" if interval is not None and interval.holds(self.threshold) else "unstable"

    @property
    def treatments(self) -> tuple[str, ...]:
        return (*BATCHNORM, *ALIGNED) if self.analysis.align else BATCHNORM

    def summary(self) -> dict[str, Any]:
        """Return its numbers under flat names, means over the pairs and children: a row of a table."""
        deviations = flat(self.error_barrier_deviation, self.loss_barrier_deviation, self.treatments)
        low, high = self.error_barrier_interval or (None, None)
        return {
            **{name: getattr(self, name) for name in ("strategy", "threshold", "stable", "learned", "density")},
            **flat(self.error_barrier, self.loss_barrier, self.treatments),
            "pairs": len(self.pairs),
            **{f"{name}_spread": value for name, value in deviations.items()},
            **{name: getattr(self, name) for name in ("child_accuracy", "full_network_accuracy", "accuracy_gap")},
            **{name: average([getattr(pair, name) for pair in self.pairs]) for name in DISTANCES},
            "l2_from_start": average([child.l2_from_start for child in self.children]),
            "ensemble_accuracy": self.ensemble_accuracy,
            f"{self.analysis.judge_by}_error_barrier_low": low,
            f"{self.analysis.judge_by}_error_barrier_high": high,
            **({name: average([getattr(pair, name) for pair in self.pairs]) for name in ALIGNED_DISTANCES}
               if self.analysis.align else {}),
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``instability.json``."""
        entries = {ON_DISK.get(name, name): value for name, value in asdict(self, dict_factory=without_absent).items()}
        return {**entries, "analysis": canonical(self.analysis)}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> "Verdict":
        """Invert :meth:`to_dict`."""
        verdict: Verdict = decode(cls, entries)
        return verdict


def without_absent(entries: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in entries if name not in ABSENT or value != ABSENT[name]}


def flat(error: Barriers, loss: Barriers, treatments: Sequence[str]) -> dict[str, Number]:
    """Return barriers under flat names such as ``test_error_barrier_raw``."""
    return {
        f"{split}_{what}_barrier_{treatment}": barriers.at(split, treatment)
        for what, barriers in (("error", error), ("loss", loss))
        for split in error.splits
        for treatment in treatments
    }


hints_of = cache(get_type_hints)


def decode(hint: Any, value: Any) -> Any:
    """Return the value of a type that an entry of the file stands for; entries of newer programs are left aside."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return None if value is None else decode(arguments[0], value)
    if origin is Sequence:
        return [decode(arguments[0], element) for element in value]
    if origin is tuple or hint is Interval:
        return (origin or Interval._make)(value)
    if hint is Step:
        return Step(value)
    if hint is AnalysisHparams:
        return AnalysisHparams.from_dict(value)
    if not is_dataclass(hint):
        return value
    hints = hints_of(hint)  # type: ignore[arg-type]  # it is a class
    keys = {name: (ON_DISK.get(name, name), field) for name, field in hints.items()}
    known = {name: decode(field, value[key]) for name, (key, field) in keys.items() if key in value}
    return hint(**known)  # type: ignore[operator]  # it is a class


# On disk -----------------------------------------------------------------------------------------------------------


def read_verdict(here: Store) -> Verdict:
    """Return the verdict of the analysis in ``here``.

    Raises:
        UsageError: there is none, or its file is damaged.
    """
    with here.intact(files.INSTABILITY):
        return Verdict.from_dict(here.read_json(files.INSTABILITY))


def write_verdict(here: Store, verdict: Verdict, *parts: str) -> None:
    """Write ``instability.json``, with the names of the files that it rests on."""
    whole = tables(verdict.analysis)[1:]  # those of the plane are written anew with each verdict
    here.write_json(
        files.INSTABILITY, verdict.to_dict(), here.sums(*parts, *whole, growing=[files.INTERPOLATION])
    )  # fmt: skip


def stored(here: Store, settings: AnalysisHparams) -> Verdict | None:
    """Return the verdict in ``here`` if it answers just these settings and what it rests on is there."""
    if not (here.complete(files.INSTABILITY) and all(map(here.has, tables(settings)))):
        return None
    verdict = read_verdict(here)
    return verdict if verdict.analysis == settings else None


def tables(settings: AnalysisHparams) -> Sequence[str]:
    return files.GROWING if settings.plane else (files.INTERPOLATION,)
