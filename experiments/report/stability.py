"""Tables and figures of instability analyses: where they go and what is printed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.report.collect import Rows, collect
from experiments.report.naming import distinct
from experiments.report.places import directory_for
from experiments.report.stability_figures import figures
from experiments.report.tables import Table, percent
from experiments.report.writing import as_table, write_files
from foundations import files
from foundations.averages import average
from foundations.context import Context
from foundations.reporting import Reporter
from foundations.store import Store
from stability import StabilityDesc
from stability.verdict import Verdict

HEADERS = (
    "strategy", "k", "test barrier raw", "recalculated", "train barrier raw", "end accuracy", "gap to full", "verdict",
)  # fmt: skip


# Files -------------------------------------------------------------------------------------------------------------


def report_stability(runs: Iterable[Store], context: Context) -> None:
    """Writes tables and figures of ``stability_<hash>/replicate_<n>`` directories in one place and says where."""
    stores = {store.path: store for store in runs}
    directory = directory_for("stability", stores, context.root, alone=files.REPORT)
    write_report(collect(stores.values()), directory, context.reporter)


def write_report(rows: Rows, directory: Path, reporter: Reporter) -> None:
    """Writes tables and figures and says where they are."""
    tables = {
        f"barrier_by_{rows.index.name}": rows.analyses, "pairs": rows.pairs, "lines": rows.lines,
        "training": rows.training,
    }  # fmt: skip
    drawn = write_files(
        Store(directory), {name: as_table(table) for name, table in tables.items()}, figures(rows)
    )  # fmt: skip
    reporter.say(f"{'Tables and figures' if drawn else 'Tables'}: {directory}")
    if not drawn:
        reporter.warn("No figures: matplotlib is not installed; pip install 'adsynflow[plot]'")


# For the terminal --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Analysed:
    """A finished analysis of one network, at one k, in one replicate."""

    desc: StabilityDesc
    iteration: int
    """Of k."""
    place: Path
    """Its directory."""
    verdict: Verdict


def stability_table(analyses: Iterable[Analysed]) -> tuple[Table, list[str]]:
    """A line for each network and k, replicates together, and for each network the smallest k found stable."""
    once = list({one.place: one for one in analyses}.values())  # --k=auto,3 may come to 3 by itself
    names = distinct({one.desc.key: (one.desc.strategy_name, one.desc) for one in once})
    cells, smallest = [], []
    for key, name in names.items():
        groups: dict[int, list[Verdict]] = {}
        for one in once:
            if one.desc.key == key:
                groups.setdefault(one.iteration, []).append(one.verdict)
        by_k = [groups[iteration] for iteration in sorted(groups)]
        cells += [line(name, group) for group in by_k]
        smallest.append(f"{name}: {smallest_stable(by_k)} (threshold {once[0].verdict.threshold:.2%})")
    return Table(HEADERS, cells), smallest


def smallest_stable(groups: Sequence[Sequence[Verdict]]) -> str:
    """What can be said of a network, whose groups of replicates are in order of k.

    A k that --k=auto has looked at in some replicates only says nothing of the others.
    """
    replicates = max(map(len, groups))
    everywhere = " in all replicates" if replicates > 1 else ""
    for group in groups:
        if len(group) == replicates and all(one.stable for one in group):
            return f"the smallest k found stable{everywhere} is {group[0].k.short}"
    return f"no k was found stable{everywhere}"


def line(name: str, group: Sequence[Verdict]) -> list[str]:
    """The cells of one network at one k."""
    texts = [one.text for one in group]
    stable = sum(one.stable for one in group)
    return [
        name,
        group[0].k.short,
        percent([one.test_barrier for one in group]),
        percent([one.error_barrier.test.recalculated for one in group]),
        percent([one.error_barrier.train.raw for one in group]),
        percent([one.child_accuracy for one in group]),
        f"{100 * (average([one.accuracy_gap for one in group]) or 0):+.2f} points",
        texts[0] if len(set(texts)) == 1 else f"stable in {stable} of {len(group)}",
    ]
