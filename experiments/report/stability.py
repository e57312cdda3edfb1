"""Tables and figures of instability analyses: where they go, and what is said of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.report.collect import Analyses, collect, collect_levels, refuse_damaged
from experiments.report.figures.numbers import over_analyses
from experiments.report.figures.stability import figures
from experiments.report.numbers import measured_numbers, numbers_table
from experiments.report.replicates import count
from experiments.report.tables import Figures, Table, as_csv, directory_for, grouped, percent, table_of, write_files
from experiments.runs.naming import distinct
from foundations import files
from foundations.averages import average
from foundations.context import Context
from foundations.desc import Desc
from foundations.formats import Row
from foundations.registry import Registry
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from stability.barrier import CONFIDENCE, over_replicates

INTERVAL = f"{CONFIDENCE:.0%} interval"
ONLY_IF_MEASURED = (INTERVAL, "aligned", "aligned, recalculated", "validation barrier raw")
"""Columns that are left out of a table in which no line has them."""
FAR_BELOW = 0.05
"""Of the full network's accuracy: what its subnetworks lack if they are stable at something else."""


# Files ---------------------------------------------------------------------------------------------------------------


def report_stability(runs: Iterable[Store], context: Context) -> None:
    """Write tables and figures of ``stability_<hash>/replicate_<n>`` directories in one place and say where."""
    stores = {store.path: store for store in runs}
    refuse_damaged(stores.values())
    directory = directory_for("stability", stores, context.root, alone=files.REPORT)
    write_report(collect(stores.values()), directory, context.reporter)


def write_report(rows: Analyses, directory: Path, reporter: Reporter) -> None:
    tables = {
        f"barrier_by_{rows.index.name}": [*rows.analyses, *rows.missing], "pairs": rows.pairs, "lines": rows.lines,
        "training": rows.training,
        **({"plane_points": rows.plane, "plane_networks": rows.places} if rows.plane else {}),
    }  # fmt: skip
    write_files(Store(directory), {name: as_csv(table) for name, table in tables.items()}, all_figures(rows), reporter)


def all_figures(rows: Analyses) -> Figures:
    measured = {"measurements": partial(over_analyses, rows)} if measured_numbers(rows.analyses) else {}
    return {**figures(rows), **measured}


# What is said --------------------------------------------------------------------------------------------------------


def stability_table(rows: Iterable[Row], networks: Mapping[str, tuple[str, Desc]]) -> tuple[Table, list[str]]:
    """Return a line for each network and k, replicates together, and for each network what can be said of its k's.

    Args:
        rows: one for each analysis, of ``result_rows``, done or not.
        networks: name and descriptor of each network, by the key of its run.
    """
    once = list({row["path"]: row for row in rows}.values())  # --k=auto,3 may come to 3 by itself
    keys = {row["key"] for row in once}
    names = distinct({key: network for key, network in networks.items() if key in keys})
    lines: list[dict[str, str]] = []
    sentences, notes = [], []
    for key, name in names.items():
        groups: dict[str, list[Row]] = {}
        for row in sorted((row for row in once if row["key"] == key), key=lambda row: Step(row["k"]).order):
            groups.setdefault(row["k"], []).append(row)
        lines += [line(name, group) for group in groups.values()]
        notes += [f"{name}, k = {k}: {count([row['state'] for row in group], len(judged(group)))}"
                  for k, group in groups.items() if len(judged(group)) < len(group)]  # fmt: skip
        sentences += [f"{name}: {sentence}" for sentence in what_is_stable(list(groups.values()))]
    columns = {name: [cells[name] for cells in lines] for name in (lines[0] if lines else ())}
    empty = [name for name in ONLY_IF_MEASURED if set(columns.get(name, ())) <= {"-"}]
    return table_of({name: cells for name, cells in columns.items() if name not in empty}, notes), sentences


def measured_analyses(rows: Iterable[Row]) -> Table:
    """Return what was measured of analyses, a line for each network and k; empty where nothing was."""
    groups = grouped({row["path"]: row for row in rows if "verdict" in row}.values(), "key", "strategy", "k")
    columns = {name: [str(group[0][name]) for group in groups] for name in ("strategy", "k")}
    columns["n"] = [str(len(group)) for group in groups]
    return numbers_table(columns, [measured_numbers(group) for group in groups])


def judged(group: Iterable[Row]) -> list[Row]:
    """Return the rows that have come to a verdict."""
    return [row for row in group if "verdict" in row]


def judged_barrier(row: Row) -> float | None:
    barrier: float | None = row[f"{row['judge_by']}_error_barrier_raw"]
    return barrier


def line(name: str, group: Sequence[Row]) -> dict[str, str]:
    """Return the cells of one network at one k, by their headings."""
    found = judged(group)

    def mean(column: str) -> str:
        return percent([row.get(column) for row in found])

    return {
        "strategy": name,
        "k": group[0]["k"],
        "test barrier raw": mean("test_error_barrier_raw"),
        INTERVAL: interval_text(found),
        "recalculated": mean("test_error_barrier_recalculated"),
        "aligned": mean("test_error_barrier_aligned"),
        "aligned, recalculated": mean("test_error_barrier_aligned_recalculated"),
        "train barrier raw": mean("train_error_barrier_raw"),
        "end accuracy": mean("child_accuracy"),
        "gap to full": f"{100 * average_gap(found):+.2f} points" if found else "-",
        "verdict": verdict_text(found),
        "validation barrier raw": mean("validation_error_barrier_raw"),
    }


def verdict_text(found: Sequence[Row]) -> str:
    """Return ``stable``, or ``stable in 1 of 2`` replicates where verdicts differ."""
    texts = {row["verdict"] for row in found}
    stable = sum(row["stable"] for row in found)
    return texts.pop() if len(texts) == 1 else f"stable in {stable} of {len(found)}" if found else "-"


def interval_text(found: Sequence[Row]) -> str:
    """Return the interval of the mean barrier that is judged by, over replicates or else over children.

    ``-`` if one pair is all there is; the split is named where it is not the test set.
    """
    if not found:
        return "-"
    split = found[0]["judge_by"]
    low, high = over_replicates([judged_barrier(row) for row in found]) or (None, None)
    if len(found) == 1:
        low, high = (found[0][f"{split}_error_barrier_{end}"] for end in ("low", "high"))
    if low is None or high is None:
        return "-"
    return f"{100 * low:.2f} to {100 * high:.2f}%" + (f" ({split})" if split != "test" else "")


def average_gap(group: Sequence[Row]) -> float:
    """Return what the ends lack to the full network, as a fraction of 1."""
    return average([row["accuracy_gap"] for row in judged(group)]) or 0.0


def what_is_stable(by_k: Sequence[Sequence[Row]]) -> list[str]:
    """Return sentences on a network, whose groups of replicates are in order of k: where it is stable, and warnings."""
    found = judged(row for group in by_k for row in group)
    if not found:
        return ["no analysis came to a verdict"]
    image = 1 / min(row["judged_examples"] for row in found)
    measured = f"threshold {found[0]['threshold']:.2%}; one {found[0]['judge_by']} image: {100 * image:.2g} points"
    first = smallest_stable(by_k)
    sentences = [f"{where_stable(by_k, first)} ({measured})"]
    if first is not None and (gap := average_gap(first)) > FAR_BELOW:
        at = first[0]["k"]
        sentences.append(f"warning: the ends from {at} lie {100 * gap:.1f} points below the full network")
    return sentences


def where_stable(by_k: Sequence[Sequence[Row]], first: Sequence[Row] | None) -> str:
    """Return the smallest stable k, or, where stable k's are followed by unstable ones, all of them."""
    replicates = max(map(len, by_k))
    everywhere = " in all replicates" if replicates > 1 else ""
    if first is None:
        close = [group[0]["k"] for group in by_k if len(group) == replicates and all(row["stable"] for row in group)]
        why = f"; from {', '.join(close)} each is, but the interval of their mean holds the threshold" if close else ""
        return f"no k was found stable{everywhere}{why}"
    whole = [group for group in by_k if len(group) == replicates]
    later = whole[whole.index(first) :]
    if all(map(is_stable, later)):
        return f"the smallest k found stable{everywhere} is {first[0]['k']}"
    stable, unstable = ([group[0]["k"] for group in later if is_stable(group) is wanted] for wanted in (True, False))
    return f"not monotone: found stable{everywhere} at {', '.join(stable)}, but not at {', '.join(unstable)}"


def smallest_stable(by_k: Sequence[Sequence[Row]]) -> Sequence[Row] | None:
    """Return the first group that is stable in all replicates.

    A k that --k=auto has looked at in some replicates only says nothing of the others.
    """
    replicates = max(map(len, by_k))
    return next((group for group in by_k if len(group) == replicates and is_stable(group)), None)


def is_stable(group: Sequence[Row]) -> bool:
    """Return whether all replicates are stable, and the interval of their mean lies below the threshold.

    One without a verdict is not. That of a single replicate is its verdict's own business.
    """
    found = judged(group)
    if len(found) < len(group) or not all(row["stable"] for row in found):
        return False
    interval = over_replicates([judged_barrier(row) for row in found])
    return interval is None or interval.high < min(row["threshold"] for row in found)


# Branches ------------------------------------------------------------------------------------------------------------

BranchReport = Callable[[Sequence[Store], Any, Context], None]
"""Gets the directories of the lottery runs (one that failed may lack any file), the branch, where to and to whom."""

branch_reports: Registry[BranchReport] = Registry("report of a branch")
"""By the branch's name. A branch without an entry has its table alone."""


@branch_reports.register("stability")
def stability(runs: Sequence[Store], branch: Any, context: Context) -> None:
    """Write tables and figures of all levels analysed, into ``report/stability`` of a single run."""
    if branch.report:
        alone = f"{files.REPORT}/{branch.name}"
        place = directory_for("stability", [run.path for run in runs], context.root, alone=alone)
        write_report(collect_levels(runs, branch.key), place, context.reporter)


def report_branch(runs: Sequence[Store], branch: Any, context: Context) -> None:
    if branch.name in branch_reports:
        branch_reports.get(branch.name)(runs, branch, context)
