"""From rows to the tables of docs/results.md; what was not run is listed with its command."""

import re
import shlex
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.studies.figures import OF_GAP, OF_TRAINING, name_of
from benchmarks.studies.rows import ACCURACIES, BARRIERS, KINDS, RESULTS, STABILITY, read
from benchmarks.studies.study import Part, Study
from foundations.comparisons import CONFIDENCE as PAIRED
from foundations.comparisons import PairedDifference, difference, holm
from foundations.hparams import as_text
from stability.barrier import CONFIDENCE, over_replicates
from stability.verdict import Interval

FILE = Path(__file__).parents[2] / "docs" / "results.md"
NOT_RUN = FILE.parent / "results" / "not-run.md"
ABOUT_NOT_RUN = (
    "Parts of the studies of [results.md](../results.md) that lack a row, or the row of a replicate, in rank order by "
    "study. `python -m benchmarks.studies document` writes this file."
)
BEGIN, END = "<!-- studies: written by python -m benchmarks.studies document -->", "<!-- end of studies -->"

Row = Mapping[str, str]
Table = list[list[str]]


def updated(text: str, studies: Iterable[Study]) -> str:
    """A document with the section between its two marks written anew."""
    section = f"{BEGIN}\n\n{sections(studies)}\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: section, text, flags=re.DOTALL)


def sections(studies: Iterable[Study]) -> str:
    """One for each study of which there are rows."""
    found = [(study, read(ACCURACIES.file_of(study)), read(BARRIERS.file_of(study))) for study in studies]
    return "\n".join(section(*one) for one in found if one[1] or one[2])


def section(study: Study, accuracies: Sequence[Row], barriers: Sequence[Row]) -> str:
    """A study: what it is, its tables, where the numbers are from, and what has not been run."""
    parts = [
        f"## {study.name}: {study.summary}", f"`python -m benchmarks.studies {study.name}`. {study.about}",
        *accuracy_tables(study, accuracies), *shown(study, "", OF_TRAINING),
        *barrier_table(study, barriers), *shown(study, *study.curves, OF_GAP),
        *filter(None, [study.remarks]), whence(study, accuracies, barriers), *was_run(study, accuracies, barriers),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


# Accuracies --------------------------------------------------------------------------------------------------------


def accuracy_tables(study: Study, rows: Sequence[Row]) -> list[str]:
    """A table of methods by density; those pruned level by level in one of their own, since its densities differ."""
    by_levels = {part.title for part in study.parts if "levels" in part.flags}
    groups = [[row for row in rows if (row["title"] in by_levels) is iterative] for iterative in (False, True)]
    return [markdown(accuracy_table(study, group)) for group in groups if group]


def accuracy_table(study: Study, rows: Sequence[Row]) -> Table:
    """Mean and standard deviation over replicates in percent, and the paired difference to the reference in points.

    A difference is bold if its p-value is below 5% when all comparisons of the table are counted (Holm).
    """
    densities = sorted({kept(row) for row in rows}, key=lambda text: -float(text.rstrip("%")))
    of_subnetworks = [density for density in densities if density != "100%"]
    compared = study.reference if any(row["title"] == study.reference for row in rows) else ""
    at = f"at {of_subnetworks[0]}: {PAIRED:.0%} interval" if compared and of_subnetworks else ""
    against = [f"minus {compared}, {at}"] if at else []
    published = {part.title: part.published for part in study.parts if part.published}
    header = ["method", "k", *(f"{density} kept" for density in densities), *against, *["published"] * bool(published)]
    methods = {
        (title, k): [row for row in rows if (row["title"], row["k"]) == (title, k)]
        for title, k in dict.fromkeys((row["title"], row["k"]) for row in rows)
    }
    differences = [paired(own, rows, compared, of_subnetworks[0]) for own in methods.values()] if against else []
    compare = difference_cells(differences) if against else [[]] * len(methods)
    table = [header]
    for ((title, k), own), compared_cells in zip(methods.items(), compare, strict=True):
        cells = [summary([row for row in own if kept(row) == density]) for density in densities]
        table.append([title, k, *cells, *compared_cells, *[published.get(title, "")] * bool(published)])
    return table


def kept(row: Row) -> str:
    """A density as a column's heading."""
    return f"{100 * float(row['density']):.3g}%"


def summary(rows: Sequence[Row], column: str = "test_accuracy") -> str:
    """``84.85 ± 0.31 (3)``: percent, and the number of replicates; those that did not end well are counted beside."""
    ended = [row for row in rows if row.get("state", "done") == "done" and row[column]]
    others = [row["state"] for row in rows if row.get("state", "done") != "done"]
    values = [100 * float(row[column]) for row in ended]
    return with_deviation(values) + "".join(f"; {others.count(state)} {state}" for state in dict.fromkeys(others))


def with_deviation(values: Sequence[float]) -> str:
    """Mean ± standard deviation (number)."""
    if not values:
        return ""
    deviation = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{mean(values):.2f}{deviation} ({len(values)})"


def paired(own: Sequence[Row], rows: Sequence[Row], reference: str, density: str) -> PairedDifference | None:
    """The difference in points to the reference's runs of the same replicates, whose initialization they share."""

    def points(some: Sequence[Row]) -> dict[Hashable, float]:
        found = [row for row in some if kept(row) == density and row["test_accuracy"]]
        return {row["replicate"]: 100 * float(row["test_accuracy"]) for row in found}

    theirs = [row for row in rows if row["title"] == reference]
    return difference(points([row for row in own if row["title"] != reference]), points(theirs))


def difference_cells(differences: Sequence[PairedDifference | None]) -> list[list[str]]:
    """A column of a table, its comparisons counted."""
    adjusted = holm([one and one.p for one in differences])
    texts = ["" if one is None else one.text() for one in differences]
    told_apart = [p is not None and p < 1 - PAIRED for p in adjusted]
    return [[f"**{text}**" if apart else text] for text, apart in zip(texts, told_apart, strict=True)]


def shown(study: Study, *figures: str) -> list[str]:
    """Those of some figures that have been drawn."""
    drawn = {figure: name for figure in figures if (RESULTS / (name := name_of(study, figure))).exists()}
    return [f"![{(figure or 'test accuracy').replace('_', ' ')}](results/{name})" for figure, name in drawn.items()]


# Barriers ----------------------------------------------------------------------------------------------------------


def barrier_table(study: Study, rows: Sequence[Row]) -> list[str]:
    """Error barriers in points by network and k."""
    if not rows:
        return []
    published = {part.title: part.published for part in study.parts if part.command == STABILITY and part.published}
    known = {
        "barrier": "test_error_barrier_raw", "recalculated": "test_error_barrier_recalculated",
        "aligned": "test_error_barrier_aligned", "aligned, recalculated": "test_error_barrier_aligned_recalculated",
        "on training images": "train_error_barrier_raw", "accuracy of the ends": "child_accuracy",
        "gap to the full network": "accuracy_gap",
    }  # fmt: skip
    columns = {heading: name for heading, name in known.items() if any(row.get(name) for row in rows)}
    first, *others = columns
    header = ["network", "k", first, f"{CONFIDENCE:.0%} interval", "verdict", *others]
    table = [[*header, *["published"] * bool(published)]]
    for title, k in dict.fromkeys((row["title"], row["k"]) for row in rows):
        own = [row for row in rows if (row["title"], row["k"]) == (title, k)]
        barrier, *cells = [summary([row for row in own if row.get(name)], name) for name in columns.values()]
        table.append([title, k, barrier, *judged(own), *cells, *[published.get(title, "")] * bool(published)])
    return ["Error barriers in percentage points, means over the pairs of children of a replicate:", markdown(table)]


def judged(rows: Sequence[Row]) -> tuple[str, str]:
    """The interval of the mean barrier, over replicates or else over children, and what it says of the threshold.

    Of a single pair there is no interval, and its own verdict stands.
    """
    interval = over_replicates([float(row["test_error_barrier_raw"]) for row in rows]) or own_interval(rows[0])
    if interval is None:
        return "", "stable" if rows[0]["stable"] == "True" else "unstable"
    text, threshold = f"{100 * interval.low:.2f} to {100 * interval.high:.2f}", float(rows[0]["threshold"])
    if interval.holds(threshold):
        return text, "undecided"
    return text, "stable" if interval.high < threshold else "unstable"


def own_interval(row: Row) -> Interval | None:
    """That over the children of one analysis, if it has three or more."""
    low, high = (row.get(f"test_error_barrier_{end}", "") for end in ("low", "high"))
    return Interval(float(low), float(high)) if low and high else None


# What they rest on -------------------------------------------------------------------------------------------------


def whence(study: Study, *tables: Sequence[Row]) -> str:
    """Versions, processors, commits and dates of all rows, and the files that have them."""
    rows = [row for table in tables for row in table]

    def each(name: str) -> str:
        return ", ".join(dict.fromkeys(value for row in rows for value in row[name].split("; ") if value))

    places = [place for kind in KINDS if (place := kind.file_of(study)).exists()]
    links = ", ".join(f"[{place.name}](results/{place.name})" for place in places)
    dates = sorted({row["date"] for row in rows})
    when = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
    return (
        "Mean ± standard deviation (number of replicates). Differences are paired by replicate, with Student's 95% "
        "interval over replicates; bold: p below 5% with all comparisons of the table counted (Holm). "
        f"{links}: computed with torch {each('torch')} on "
        f"{each('processor')}, threads: {each('threads')}, at commits {each('commit')}, {when}."
    )


def was_run(study: Study, accuracies: Sequence[Row], barriers: Sequence[Row]) -> list[str]:
    """The commands of the parts of which all rows are there, to be opened."""
    left = not_run(study, accuracies, barriers)
    parts = [part for part in study.parts if part not in left]
    heading = f"<details><summary>Commands ({each_with(study)})</summary>"
    return [heading, listed(study, parts), "</details>"] if parts else []


def not_run(study: Study, accuracies: Sequence[Row], barriers: Sequence[Row]) -> list[Part]:
    """The parts that lack a row."""
    return [part for part in study.parts if missing(part, barriers if part.command == STABILITY else accuracies)]


def still_to_run(studies: Iterable[Study]) -> str:
    """The document of what has not been run, or not in all replicates, in rank order by study."""
    sections = [f"# Not run yet\n\n{ABOUT_NOT_RUN}"]
    for study in studies:
        left = not_run(study, read(ACCURACIES.file_of(study)), read(BARRIERS.file_of(study)))
        if left:
            sections += [f"## {study.name}: {study.summary}", f"Commands: {each_with(study)}:", listed(study, left)]
    return "\n\n".join(sections) + "\n"


def each_with(study: Study) -> str:
    """What the commands of a study have in common."""
    common = shlex.join(f"--{name}={as_text(value)}" for name, value in study.training.items())
    return f"each `python main.py ...` with `{common}`"


def listed(study: Study, parts: Sequence[Part]) -> str:
    """A line for each part."""
    return "\n".join(f"- {part.title}: `{part.without(study.training)}`" for part in parts)


def missing(part: Part, rows: Sequence[Row]) -> bool:
    """Whether a replicate, density or k of a part has no row."""
    there = {(row["title"], row["replicate"], row["k"], kept(row)) for row in rows}
    replicates, ks = as_list(part.flags["replicate"]), as_list(part.flags.get("k"))
    densities = as_list(part.flags.get("density", 1.0))
    wanted = {
        (part.title, str(replicate), "" if k is None else f"{k}ep", f"{100 * density:.3g}%")
        for replicate in replicates for k in ks for density in densities
    }  # fmt: skip
    return not wanted <= there


def as_list(value: Any) -> list[Any]:
    """The values of a flag, of which there may be one."""
    return value if isinstance(value, list) else [value]


def markdown(table: Table) -> str:
    """A Markdown table; its first row is the header."""
    lines = ["| " + " | ".join(cells) + " |" for cells in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]])
