"""Tables and figures of instability analyses: where they go and what is printed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.report.collect import Rows, collect
from experiments.report.naming import distinct
from experiments.report.places import directory_for
from experiments.report.stability_figures import figures
from experiments.report.states import DONE, count
from experiments.report.tables import Table, percent
from experiments.report.writing import as_table, write_files
from foundations import files
from foundations.averages import average
from foundations.context import Context
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from stability import StabilityDesc
from stability.verdict import Verdict

FAR_BELOW = 0.05
"""Of the full network's accuracy: what its subnetworks lack if they are stable at something else."""
HEADERS = (
    "strategy", "k", "test barrier raw", "recalculated", "train barrier raw", "end accuracy", "gap to full", "verdict",
)  # fmt: skip
VALIDATION_HEADER = "validation barrier raw"
"""Of a column that is there if anything was measured on a validation set."""


# Files -------------------------------------------------------------------------------------------------------------


def report_stability(runs: Iterable[Store], context: Context) -> None:
    """Writes tables and figures of ``stability_<hash>/replicate_<n>`` directories in one place and says where."""
    stores = {store.path: store for store in runs}
    directory = directory_for("stability", stores, context.root, alone=files.REPORT)
    write_report(collect(stores.values()), directory, context.reporter)


def write_report(rows: Rows, directory: Path, reporter: Reporter) -> None:
    """Writes tables and figures and says where they are."""
    tables = {
        f"barrier_by_{rows.index.name}": [*rows.analyses, *rows.missing], "pairs": rows.pairs, "lines": rows.lines,
        "training": rows.training,
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
    """A line for each network and k, replicates together, and for each network what can be said of its k's."""
    once = list({one.place: one for one in analyses}.values())  # --k=auto,3 may come to 3 by itself
    names = distinct({one.desc.key: (one.desc.strategy_name, one.desc) for one in once})
    held_out = any(one.verdict and one.verdict.error_barrier.validation for one in once)
    cells, sentences = [], []
    for key, name in names.items():
        groups: dict[int, list[Analysed]] = {}
        for one in once:
            if one.desc.key == key:
                groups.setdefault(one.iteration, []).append(one)
        by_k = [groups[iteration] for iteration in sorted(groups)]
        cells += [[*line(name, group), *([validation_barrier(group)] if held_out else [])] for group in by_k]
        sentences += [f"{name}: {sentence}" for sentence in what_is_stable(by_k)]
    return Table([*HEADERS, *([VALIDATION_HEADER] if held_out else [])], cells), sentences


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
    """The smallest stable k, or that the curve is not monotone and so has none that would be worth the name."""
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
    """The first group that is stable in all replicates.

    A k that --k=auto has looked at in some replicates only says nothing of the others.
    """
    replicates = max(map(len, by_k))
    return next((group for group in by_k if len(group) == replicates and is_stable(group)), None)


def is_stable(group: Sequence[Analysed]) -> bool:
    """Whether all replicates are; one without a verdict counts as not."""
    return all(one.verdict is not None and one.verdict.stable for one in group)


def average_gap(group: Sequence[Analysed]) -> float:
    """What the ends lack to the full network, as a fraction of 1."""
    return average([one.verdict.accuracy_gap for one in group if one.verdict]) or 0.0


def line(name: str, group: Sequence[Analysed]) -> list[str]:
    """The cells of one network at one k."""
    found = [one.verdict for one in group if one.verdict]
    return [
        name,
        group[0].k.short,
        percent([one.test_barrier for one in found]),
        percent([one.error_barrier.test.recalculated for one in found]),
        percent([one.error_barrier.train.raw for one in found]),
        percent([one.child_accuracy for one in found]),
        f"{100 * average_gap(group):+.2f} points" if found else "-",
        verdict_text(found, [one.state for one in group]),
    ]


def validation_barrier(group: Sequence[Analysed]) -> str:
    """The cell below ``VALIDATION_HEADER``; ``-`` without a validation set."""
    barriers = [one.verdict.error_barrier.validation for one in group if one.verdict]
    return percent([barrier.raw for barrier in barriers if barrier])


def verdict_text(found: Sequence[Verdict], states: Sequence[str]) -> str:
    """``stable``, ``stable in 1 of 2``; with what became of the others if not all came to a verdict."""
    texts = {one.text for one in found}
    stable = sum(one.stable for one in found)
    text = texts.pop() if len(texts) == 1 else f"stable in {stable} of {len(found)}" if found else "-"
    return text if len(found) == len(states) else f"{text} ({count(states, len(found))})"
