"""Methods compared with each other, replicate by replicate: what a table of lottery runs may say beside its means."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from experiments.report.lines import FULL, full_network_once
from experiments.report.tables import Row, Table
from foundations.comparisons import CONFIDENCE, Difference, difference, holm

COLUMNS = ("level", "density", "method", "minus", "points", "low", "high", "replicates", "p", "p_holm")
"""Of ``comparisons.csv``: differences of test accuracy in points, with Student's 95% interval over replicates."""

Accuracies = Mapping[Hashable, float]
"""In percent, by replicate."""


@dataclass(frozen=True)
class Comparison:
    """Two methods at one level and density."""

    level: int
    density: float
    method: str
    reference: str
    found: Difference
    """In percentage points."""
    p: float | None
    """The p-value, all comparisons of the table counted (Holm)."""

    @property
    def told_apart(self) -> bool:
        return self.p is not None and self.p < 1 - CONFIDENCE

    @property
    def cells(self) -> list[object]:
        found = self.found
        return [self.level, self.density, self.method, self.reference, found.mean, found.low, found.high, found.n,
                found.p, self.p]  # fmt: skip


def comparisons(rows: Iterable[Row]) -> list[Comparison]:
    """Compare, at each density, every method with the first one, and each with the full network if there is one trunk.

    Pairs are replicates that both have: methods of one replicate share their initialization and trunk. Fewer than two
    pairs are no comparison.
    """
    full: dict[str, dict[Hashable, float]] = {}
    groups: dict[tuple[int, float], dict[str, dict[Hashable, float]]] = {}
    for row in full_network_once(rows):
        if row.get("test_accuracy") is None:
            continue
        if row["strategy"] == FULL:
            methods, name = full, row["key"]
        else:
            methods, name = groups.setdefault((row["level"], round(row["density"], 6)), {}), name_of(row)
        methods.setdefault(name, {})[row["replicate"]] = 100 * row["test_accuracy"]
    found = []
    for at, methods in groups.items():
        (first, reference), *others = methods.items()
        pairs = [(name, first, own, reference) for name, own in others]
        if len(full) == 1:
            pairs += [(name, FULL, own, next(iter(full.values()))) for name, own in methods.items()]
        found += [(*at, name, other, one) for name, other, own, theirs in pairs
                  if (one := difference(own, theirs)) is not None and one.n > 1]  # fmt: skip
    adjusted = holm([one.p for *_, one in found])
    return [Comparison(*entries, p) for entries, p in zip(found, adjusted, strict=True)]


def name_of(row: Row) -> str:
    """Return a method as a line of the table names it: ``adsynflow, k = 4ep, lr = 0.1``."""
    varied = {"k": row["k"], **row.get("varied", {})}
    return ", ".join([row["strategy"], *(f"{name} = {value}" for name, value in varied.items() if value)])


def comparison_table(found: Iterable[Comparison]) -> Table:
    """For the terminal; ``*`` where two methods are told apart at 5%."""
    return Table(
        ["level", "density", "compared, replicate by replicate", f"points ({CONFIDENCE:.0%} interval)", "p (Holm)", ""],
        [[str(one.level), f"{one.density:.2%}", f"{one.method} minus {one.reference}", one.found.text(),
          "-" if one.p is None else f"{one.p:.2g}", "*" if one.told_apart else ""] for one in found],
    )  # fmt: skip
