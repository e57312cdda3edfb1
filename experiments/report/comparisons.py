"""Methods compared with each other, replicate by replicate: what a table of lottery runs may say beside its means."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from statistics import fmean

from experiments.report.replicates import FULL, full_network_once
from experiments.report.tables import Table
from experiments.runs.rows import density_text
from foundations.comparisons import CONFIDENCE, PairedDifference, difference, holm
from foundations.formats import Row

COLUMNS = ("level", "density", "method", "minus", "points", "low", "high", "replicates", "p", "p_holm")
"""Of ``comparisons.csv``: differences of test accuracy in points, with Student's 95% interval over replicates."""


@dataclass(frozen=True)
class MethodComparison:
    """Two methods at one level and density.

    Args:
        level: of their lottery runs.
        density: what their masks keep, exactly.
        method: is compared.
        reference: is what it is compared with.
        kept: the density that was asked for, as text.
        found: the difference in percentage points.
        p: the p-value, all comparisons of the table counted (Holm).
    """

    level: int
    density: float
    method: str
    reference: str
    kept: str
    found: PairedDifference
    p: float | None

    @property
    def told_apart(self) -> bool:
        return self.p is not None and self.p < 1 - CONFIDENCE

    @property
    def cells(self) -> list[object]:
        found = self.found
        return [self.level, self.density, self.method, self.reference, found.mean, found.low, found.high, found.n,
                found.p, self.p]  # fmt: skip


def comparisons(rows: Iterable[Row]) -> list[MethodComparison]:
    """Compare, at each density, every method with the first one, and each with the full network if there is one trunk.

    Pairs are replicates that both have: methods of one replicate share their initialization and trunk. Fewer than two
    pairs are no comparison.
    """
    full: dict[str, dict[Hashable, float]] = {}
    groups: dict[tuple[int, float], dict[str, dict[Hashable, float]]] = {}
    kept: dict[tuple[int, float], str] = {}
    for row in full_network_once(rows):
        if row.get("test_accuracy") is None:
            continue
        if row["strategy"] == FULL:
            methods, name = full, row["key"]
        else:
            at = row["level"], round(row["density"], 6)
            kept.setdefault(at, kept_of(row))
            methods, name = groups.setdefault(at, {}), name_of(row)
        methods.setdefault(name, {})[row["replicate"]] = 100 * row["test_accuracy"]
    found = []
    for at, methods in groups.items():
        (first, reference), *others = methods.items()
        pairs = [(name, first, own, reference) for name, own in others]
        if len(full) == 1:
            pairs += [(name, FULL, own, next(iter(full.values()))) for name, own in methods.items()]
        found += [(*at, name, other, kept[at], one) for name, other, own, theirs in pairs
                  if (one := difference(own, theirs)) is not None and one.n > 1]  # fmt: skip
    adjusted = holm([one.p for *_, one in found])
    return [MethodComparison(*entries, p) for entries, p in zip(found, adjusted, strict=True)]


def kept_of(row: Row) -> str:
    return density_text(row["density_asked"] if "density_asked" in row else row["density"])


def best_at_densities(rows: Iterable[Row]) -> dict[str, tuple[list[str], int]]:
    """Return by density, of those that several methods have, the best methods and of how many.

    The first has the highest mean test accuracy. The others are not told apart from it at 5%, replicate by replicate
    and all that are compared with it counted (Holm). With one replicate nothing is told apart.
    """
    groups: dict[str, dict[str, dict[Hashable, float]]] = {}
    for row in rows:
        if row["level"] and row.get("test_accuracy") is not None:
            own = groups.setdefault(kept_of(row), {}).setdefault(name_of(row), {})
            own[row["replicate"]] = 100 * row["test_accuracy"]
    found = {}
    for density, methods in groups.items():
        if len(methods) > 1:
            best, *others = sorted(methods, key=lambda name: -fmean(methods[name].values()))
            differences = [difference(methods[best], methods[other]) for other in others]
            adjusted = holm([None if one is None else one.p for one in differences])
            ties = [name for name, p in zip(others, adjusted, strict=True) if p is None or p >= 1 - CONFIDENCE]
            found[density] = [best, *ties], len(methods)
    return found


def name_of(row: Row) -> str:
    """Return a method as a line of the table names it: ``adsynflow, k = 4ep, lr = 0.1``."""
    varied = {"k": row["k"], **row.get("varied", {})}
    return ", ".join([row["strategy"], *(f"{name} = {value}" for name, value in varied.items() if value)])


def comparison_table(found: Iterable[MethodComparison]) -> Table:
    """Return a line for each comparison, with ``*`` where two methods are told apart at 5%, which a note then says."""
    found = list(found)
    return Table(
        ["level", "density", "compared, replicate by replicate", f"points ({CONFIDENCE:.0%} interval)", "p (Holm)", ""],
        [[str(one.level), one.kept, f"{one.method} minus {one.reference}", one.found.text(),
          "-" if one.p is None else f"{one.p:.2g}", "*" if one.told_apart else ""] for one in found],
        ["*: told apart at 5%, all comparisons of the table counted (Holm)"] * any(one.told_apart for one in found),
    )  # fmt: skip
