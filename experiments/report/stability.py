"""Tables and figures of instability analyses: where they go and what is printed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.report.collect import Rows, collect, collect_levels, refuse_damaged
from experiments.report.figures.stability import figures
from experiments.report.naming import count, distinct
from experiments.report.tables import Table, as_table, directory_for, percent, write_files
from experiments.runs.rows import DONE
from foundations import files
from foundations.averages import average
from foundations.context import Context
from foundations.registry import Registry
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from stability import StabilityDesc
from stability.barrier import CONFIDENCE, over_replicates
from stability.verdict import Verdict

INTERVAL = f"{CONFIDENCE:.0%} interval"
HEADERS = (
    "strategy", "k", "test barrier raw", INTERVAL, "recalculated", "aligned", "aligned, recalculated",
    "train barrier raw", "end accuracy", "gap to full", "verdict",
    "validation barrier raw",
)  # fmt: skip
ONLY_IF_MEASURED = (INTERVAL, "aligned", "aligned, recalculated", "validation barrier raw")
FAR_BELOW = 0.05
"""Of the full network's accuracy: what its subnetworks lack if they are stable at something else."""


# Files -------------------------------------------------------------------------------------------------------------


def report_stability(runs: Iterable[Store], context: Context) -> None:
    """Write tables and figures of ``stability_<hash>/replicate_<n>`` directories in one place and says where."""
    stores = {store.path: store for store in runs}
    refuse_damaged(stores.values())
    directory = directory_for("stability", stores, context.root, alone=files.REPORT)
    write_report(collect(stores.values()), directory, context.reporter)


def write_report(rows: Rows, directory: Path, reporter: Reporter) -> None:
    """Write tables and figures and says where they are."""
    tables = {
        f"barrier_by_{rows.index.name}": [*rows.analyses, *rows.missing], "pairs": rows.pairs, "lines": rows.lines,
        "training": rows.training,
        **({"plane_points": rows.plane, "plane_networks": rows.places} if rows.plane else {}),
    }  # fmt: skip
    as_tables = {name: as_table(table) for name, table in tables.items()}
    write_files(Store(directory), as_tables, figures(rows), reporter)


# For the terminal --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Analysed:
    """An analysis of one network, at one k, in one replicate."""

    desc: StabilityDesc
    k: Step
    iteration: int
    """Of k."""
    place: Path
    """Its directory."""
    verdict: Verdict | None
    """None if it has come to none."""
    state: str = DONE
    """How it ended; see ``states``."""


def stability_table(analyses: Iterable[Analysed]) -> tuple[Table, list[str]]:
    """Return a line for each network and k, replicates together, and for each network what can be said of its k's."""
    once = list({one.place: one for one in analyses}.values())  # --k=auto,3 may come to 3 by itself
    names = distinct({one.desc.key: (one.desc.strategy_name, one.desc) for one in once})
    cells, sentences = [], []
    for key, name in names.items():
        groups: dict[int, list[Analysed]] = {}
        for one in once:
            if one.desc.key == key:
                groups.setdefault(one.iteration, []).append(one)
        by_k = [groups[iteration] for iteration in sorted(groups)]
        cells += [line(name, group) for group in by_k]
        sentences += [f"{name}: {sentence}" for sentence in what_is_stable(by_k)]
    return Table(*without_empty(HEADERS, cells)), sentences


def without_empty(headers: Sequence[str], cells: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Return a table without those of the columns ``ONLY_IF_MEASURED`` of which no line has anything."""
    shown = [
        place for place, name in enumerate(headers)
        if name not in ONLY_IF_MEASURED or any(line[place] != "-" for line in cells)
    ]  # fmt: skip
    return [headers[place] for place in shown], [[line[place] for place in shown] for line in cells]


def what_is_stable(by_k: Sequence[Sequence[Analysed]]) -> list[str]:
    """Sentences on a network, whose groups of replicates are in order of k: where it is stable, and any warning."""
    found = [one.verdict for group in by_k for one in group if one.verdict]
    if not found:
        return ["no analysis came to a verdict"]
    split = found[0].analysis.judge_by
    image = 1 / min(verdict.examples[split] for verdict in found)
    measured = f"threshold {found[0].threshold:.2%}; one {split} image: {100 * image:.2g} points"
    first = smallest_stable(by_k)
    sentences = [f"{where_stable(by_k, first)} ({measured})"]
    if first is not None and (gap := average_gap(first)) > FAR_BELOW:
        at = first[0].k.short
        sentences.append(f"warning: the ends from {at} lie {100 * gap:.1f} points below the full network")
    return sentences


def where_stable(by_k: Sequence[Sequence[Analysed]], first: Sequence[Analysed] | None) -> str:
    """Return the smallest stable k, or that the curve is not monotone and so has none that would be worth the name."""
    replicates = max(map(len, by_k))
    everywhere = " in all replicates" if replicates > 1 else ""
    if first is None:
        return f"no k was found stable{everywhere}"
    whole = [group for group in by_k if len(group) == replicates]
    later = whole[whole.index(first) :]
    if all(map(is_stable, later)):
        return f"the smallest k found stable{everywhere} is {first[0].k.short}"
    stable, unstable = ([group[0].k.short for group in later if is_stable(group) is wanted] for wanted in (True, False))
    return f"not monotone: found stable{everywhere} at {', '.join(stable)}, but not at {', '.join(unstable)}"


def smallest_stable(by_k: Sequence[Sequence[Analysed]]) -> Sequence[Analysed] | None:
    """Return the first group that is stable in all replicates.

    A k that --k=auto has looked at in some replicates only says nothing of the others.
    """
    replicates = max(map(len, by_k))
    return next((group for group in by_k if len(group) == replicates and is_stable(group)), None)


def is_stable(group: Sequence[Analysed]) -> bool:
    """Whether all replicates are, and the interval of their mean is below the threshold; one without a verdict is not.

    That of a single replicate is its verdict's own business.
    """
    found = [one.verdict for one in group if one.verdict]
    if len(found) < len(group) or not all(verdict.stable for verdict in found):
        return False
    interval = over_replicates([verdict.judged_barrier for verdict in found])
    return interval is None or interval.high < min(verdict.threshold for verdict in found)


def interval_text(found: Sequence[Verdict]) -> str:
    """Return the interval of the mean barrier that is judged by, over replicates or else over children.

    ``-`` if one pair is all there is; the split is named where it is not the test set.
    """
    interval = over_replicates([verdict.judged_barrier for verdict in found])
    if len(found) == 1:
        interval = found[0].error_barrier_interval
    if interval is None:
        return "-"
    split = found[0].analysis.judge_by
    return f"{100 * interval.low:.2f} to {100 * interval.high:.2f}%" + (f" ({split})" if split != "test" else "")


def average_gap(group: Sequence[Analysed]) -> float:
    """Return what the ends lack to the full network, as a fraction of 1."""
    return average([one.verdict.accuracy_gap for one in group if one.verdict]) or 0.0


def line(name: str, group: Sequence[Analysed]) -> list[str]:
    """Return the cells of one network at one k."""
    found = [one.verdict for one in group if one.verdict]
    return [
        name,
        group[0].k.short,
        percent([one.test_barrier for one in found]),
        interval_text(found),
        percent([one.error_barrier.test.recalculated for one in found]),
        percent([one.error_barrier.test.aligned for one in found]),
        percent([one.error_barrier.test.aligned_recalculated for one in found]),
        percent([one.error_barrier.train.raw for one in found]),
        percent([one.child_accuracy for one in found]),
        f"{100 * average_gap(group):+.2f} points" if found else "-",
        verdict_text(found, [one.state for one in group]),
        percent([held_out.raw for one in found if (held_out := one.error_barrier.validation)]),
    ]


def verdict_text(found: Sequence[Verdict], states: Sequence[str]) -> str:
    """``stable``, ``stable in 1 of 2``; with what became of the others if not all came to a verdict."""
    texts = {one.text for one in found}
    stable = sum(one.stable for one in found)
    text = texts.pop() if len(texts) == 1 else f"stable in {stable} of {len(found)}" if found else "-"
    return text if len(found) == len(states) else f"{text} ({count(states, len(found))})"


BranchReport = Callable[[Sequence[Store], Any, Context], None]
"""Gets the directories of the lottery runs (one that failed may lack any file), the branch, where to and to whom."""

branch_reports: Registry[BranchReport] = Registry("report of a branch")
"""By the branch's name. A branch without an entry has its table alone."""


@branch_reports.register("stability")
def stability(runs: Sequence[Store], branch: Any, context: Context) -> None:
    """Tables and figures of all levels analysed, in ``report/stability`` of a single run."""
    if branch.report:
        place = directory_for(
            "stability", [run.path for run in runs], context.root, alone=f"{files.REPORT}/{branch.name}"
        )
        write_report(collect_levels(runs, branch.key), place, context.reporter)


def report_branch(runs: Sequence[Store], branch: Any, context: Context) -> None:
    if branch.name in branch_reports:
        branch_reports.get(branch.name)(runs, branch, context)
