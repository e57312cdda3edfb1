"""The sections on runs as such: what there is, in what they differ, how to compute them again, and with what."""

import contextlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from experiments.report.comparisons import best_at_densities, name_of
from experiments.report.material import Material
from experiments.report.page.parts import PageSection, PageTable
from experiments.report.replicates import Replicates
from experiments.report.tables import Table, percent
from experiments.runs.directory import RunDirectory
from experiments.runs.naming import text
from experiments.runs.rows import DONE, flat
from experiments.runs.status import Status, cost_of, environment_of, gpus, statuses
from foundations.formats import Row
from foundations.recovery import MISREAD
from foundations.text import duration

NAMED = 5
"""In a sentence, at most."""
BEST = (
    "Told apart: Student's paired test over replicates, those that are compared with the highest mean at a density "
    "counted (Holm), at 5%."
)


def summary(found: Material, verdicts: Sequence[str]) -> PageSection:
    """Return the most important numbers, and what did not end as it should."""
    kinds = Counter(run.kind for run in found.runs)
    runs = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    lines = found.lines
    full = [line for line in lines if line.is_full]
    sentences = [f"{len(found.runs)} runs ({runs})."]
    if len(full) <= 1:  # else they are not to be compared
        sentences += [*(f"Full network: {line.text}." for line in full), *at_densities(found.levels, lines)]
        sentences += [BEST] if len(sentences) > 1 + len(full) else []
    states = Counter(row["state"] for row in found.rows if row["state"] != DONE)
    sentences += [f"{verdict}." for verdict in verdicts]
    sentences += [f"{number} of {len(found.rows)} parts of runs: {state}." for state, number in sorted(states.items())]
    return PageSection("summary", "Summary", sentences=[*sentences, *found.unread])


def at_densities(rows: Sequence[Row], lines: Sequence[Replicates]) -> list[str]:
    """Return the best methods at each density that several have, as far as their replicates tell them apart."""
    sentences = []
    for density, ((best, *ties), number) in best_at_densities(rows).items():
        there = {name_of_line(line): line for line in lines if line.kept_text == density and not line.is_full}
        lost = "".join(f"; {name}: {line.counted}" for name, line in there.items() if not line.whole and name != best)
        what = f"{best} has the highest mean, {there[best].text}" if ties else f"{best}, the best of {number}"
        apart = f", not told apart from {listing(ties)}" if ties else f": {there[best].text}"
        sentences.append(f"{density} kept: {what}{apart}{lost}.")
    return sentences


def listing(names: Sequence[str]) -> str:
    """Return names in a sentence, of many the first ones and how many there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} others" if len(names) > NAMED else "")


def name_of_line(line: Replicates) -> str:
    return name_of({"strategy": line.strategy, "k": line.k, "varied": line.varied})


def runs_section(found: Material) -> PageSection:
    cells = [
        [row["kind"], row["part"], str(row["replicate"]), row["state"],
         percent([None if row["why"] else row.get("test_accuracy", row.get("child_accuracy"))]), row["why"],
         str(row["path"])]
        for row in found.rows
    ]  # fmt: skip
    table = Table(["kind", "part", "replicate", "state", "test accuracy", "why", "directory"], cells)
    places = {command: f"command_{place}" for place, command in enumerate(commands_of(found), 1)}
    links = {
        str(row["path"]): places[command]
        for run in found.runs if (command := command_of(run))
        for row in found.rows if row["key"] == run.path.parent.name and row["replicate"] == run.replicate
    }  # fmt: skip
    caption = "Every training, level, branch and analysis; a directory leads to the command that computed it."
    return PageSection("runs", "Runs", tables=[PageTable("runs", caption, table, links)])


def hyperparameters(found: Material) -> PageSection:
    """Return in what experiments differ and, folded up, what they have in common."""
    experiments: dict[str, Mapping[str, str]] = {}
    for run in found.runs:
        with contextlib.suppress(*MISREAD):  # which is named among the runs
            known = {name: text(value) for name, value in flat(run.hyperparameters).items()}
            experiments.setdefault(run.path.parent.name, {"kind": run.kind, **known})
    names = [name for name in dict.fromkeys(name for one in experiments.values() for name in one) if name != "format"]
    values = {name: {one.get(name, "") for one in experiments.values()} for name in names}
    differing = [name for name in names if len(values[name]) > 1]
    cells = [[key, *(one.get(name, "") for name in differing)] for key, one in experiments.items()]
    table = PageTable("differing", "Those that differ.", Table(["experiment", *differing], cells))
    shared = [[name, *values[name]] for name in names if name not in differing]
    common = PageTable("common", "Those that all have in common", Table(["hyperparameter", "value"], shared))
    return PageSection(
        "hyperparameters", "Hyperparameters", tables=[table] if differing else (), details=[common]
    )  # fmt: skip


def reproduce(found: Material) -> PageSection:
    """Return the commands that computed the runs, and with what."""
    environments = [environment for run in found.runs if (environment := environment_of(run.store)) is not None]
    values: dict[str, dict[str, None]] = {}
    for one in environments:
        for name, value in described(one).items():
            values.setdefault(name, {})[value] = None
    cells = [[name, "; ".join(own)] for name, own in values.items()]
    table = PageTable("environment", "What they were computed with.", Table(["what", "value"], cells))
    return PageSection("reproduce", "To compute it again", commands=commands_of(found), tables=[table] if cells else ())


def commands_of(found: Material) -> list[str]:
    return list(dict.fromkeys(command for run in found.runs if (command := command_of(run))))


def command_of(run: RunDirectory) -> str:
    """Return the command that computed a run; empty if that is not known."""
    command = (environment_of(run.store) or {}).get("command")
    return shlex.join(["python", "main.py", *command]) if command else ""


def described(environment: Row) -> dict[str, str]:
    entries = {**environment.get("packages", {}), **environment}
    entries["plugins"] = ", ".join(environment.get("plugins") or {})
    left_out = {"format", "packages", "command", "asked_for"}
    return {name: str(value) for name, value in entries.items() if name not in left_out and value not in (None, "")}


def compute(found: Material) -> PageSection:
    """Return what the runs have cost, by the processor that they were computed on, failed attempts included."""
    groups = computed_on(found.runs)
    everything = [one for group in groups.values() for one in group]
    cells = [[*place, *cost_cells(group)] for place, group in [*groups.items(), (("all", ""), everything)] if group]
    headers = ["processor", "threads", "parts", "attempts", "hours", "processor-hours", "GPU-hours",
               "largest memory (MB)"]  # fmt: skip
    caption = "All attempts. The hours of those that were killed, and of older programs, are not known."
    table = PageTable("compute", caption, Table(headers, cells))
    return PageSection("compute", "Compute", tables=[table] if everything else ())


Computed = tuple[Status, int]
"""What a part, or a child of an analysis, has cost, and on how many GPUs."""


def computed_on(runs: Sequence[RunDirectory]) -> dict[tuple[str, str], list[Computed]]:
    """Return the status of every part and child, by the processor and the number of threads that its run records."""
    groups: dict[tuple[str, str], list[Computed]] = {}
    for run in runs:
        environment = environment_of(run.store) or {}
        on_gpus = gpus(environment)
        processor = f"{environment.get('device')}, " * (on_gpus > 0) + str(environment.get("cpu", "unknown"))
        place = processor, str(environment.get("threads", "unknown"))
        with contextlib.suppress(*MISREAD):  # a run whose parts are not known is named among the runs
            stores = [store for part in run.parts for store in (part.store, *part.children)]
            groups.setdefault(place, []).extend((status, on_gpus) for status in statuses(stores))
    return groups


def cost_cells(group: Sequence[Computed]) -> list[str]:
    cost = cost_of([status for status, _ in group])
    on_gpus = sum(status.seconds * number for status, number in group)
    hours = [value / 3600 for value in (cost["seconds"], cost["processor_seconds"], on_gpus)]
    attempts = sum(status.attempts for status, _ in group)
    return [str(len(group)), str(attempts), *(f"{value:.3g}" if value else "-" for value in hours),
            f"{cost['peak_memory']:.0f}"]  # fmt: skip


def compute_sentences(runs: Sequence[RunDirectory]) -> list[str]:
    """Return a sentence on what runs have cost for each processor."""
    said = []
    for (processor, threads), group in computed_on(runs).items():
        if group:
            cost = cost_of([status for status, _ in group])
            gpu_seconds = sum(status.seconds * number for status, number in group)
            on_gpus = f", {duration(gpu_seconds)} of GPUs" if gpu_seconds else ""
            said.append(
                f"{duration(cost['seconds'])}, {duration(cost['processor_seconds'])} of processors{on_gpus}, at most "
                f"{cost['peak_memory']:.0f} MB a process ({processor}, threads: {threads}; all attempts)."
            )
    return said
