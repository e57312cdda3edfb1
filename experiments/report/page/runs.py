"""The sections on runs as such: what there is, in what they differ, how to compute them again, and with what."""

import contextlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence

from experiments.report.material import Material
from experiments.report.page.parts import PageSection, PageTable
from experiments.report.replicates import Replicates
from experiments.report.tables import Table, percent
from experiments.runs.directory import RunDirectory
from experiments.runs.naming import text
from experiments.runs.rows import DONE, flat
from experiments.runs.status import Status, read_status
from foundations import files
from foundations.formats import Row
from foundations.recovery import MISREAD
from foundations.store import Store


def summary(found: Material, verdicts: Sequence[str]) -> PageSection:
    """Return the most important numbers, and what did not end as it should."""
    kinds = Counter(run.kind for run in found.runs)
    runs = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    lines = found.lines
    full = [line for line in lines if line.is_full]
    sentences = [f"{len(found.runs)} runs ({runs}).", *(f"Full network: {line.text}." for line in full)]
    if len(full) <= 1:  # else they are not to be compared
        sentences += at_densities([line for line in lines if not line.is_full])
    states = Counter(row["state"] for row in found.rows if row["state"] != DONE)
    sentences += [f"{verdict}." for verdict in verdicts]
    sentences += [f"{number} of {len(found.rows)} parts of runs: {state}." for state, number in sorted(states.items())]
    return PageSection("summary", "Summary", sentences=[*sentences, *found.unread])


def at_densities(lines: Sequence[Replicates]) -> list[str]:
    """Return the best strategy at each density that several have; of a strategy without such a density its sparsest."""
    groups: dict[str, list[Replicates]] = {}
    for line in sorted(lines, key=lambda line: -line.density):
        groups.setdefault(line.kept_text, []).append(line)
    shared = {density: group for density, group in groups.items() if len({line.strategy for line in group}) > 1}
    sentences = [f"{density} kept: {best_of(group)}." for density, group in shared.items()]
    compared = {line.strategy for group in shared.values() for line in group}
    sparsest = {line.strategy: line for group in groups.values() for line in group}  # the last one stays
    rest = [line for strategy, line in sparsest.items() if strategy not in compared]
    return [*sentences, *(f"{line.kept_text} kept: {line.strategy}, its sparsest: {line.text}." for line in rest)]


def best_of(group: Sequence[Replicates]) -> str:
    """Return the line with the highest mean, of how many, and which of the others did not end as they should."""
    best = max(group, key=lambda line: line.mean or 0)
    lost = [f"; {line.strategy}: {line.counted}" for line in group if not line.whole and line is not best]
    return f"{best.strategy}, the best of {len(group)}: {best.text}{''.join(lost)}"


def runs_section(found: Material) -> PageSection:
    cells = [
        [row["kind"], row["part"], str(row["replicate"]), row["state"],
         percent([None if row["why"] else row.get("test_accuracy", row.get("child_accuracy"))]), row["why"],
         str(row["path"])]
        for row in found.rows
    ]  # fmt: skip
    table = Table(["kind", "part", "replicate", "state", "test accuracy", "why", "directory"], cells)
    return PageSection("runs", "Runs", tables=[PageTable("runs", "Every training, level, branch and analysis.", table)])


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
    commands = dict.fromkeys(
        shlex.join(["python", "main.py", *one["command"]]) for one in environments if one.get("command")
    )
    values: dict[str, dict[str, None]] = {}
    for one in environments:
        for name, value in described(one).items():
            values.setdefault(name, {})[value] = None
    cells = [[name, "; ".join(own)] for name, own in values.items()]
    table = PageTable("environment", "What they were computed with.", Table(["what", "value"], cells))
    return PageSection("reproduce", "To compute it again", commands=list(commands), tables=[table] if cells else ())


def described(environment: Row) -> dict[str, str]:
    entries = {**environment.get("packages", {}), **environment}
    entries["plugins"] = ", ".join(environment.get("plugins") or {})
    left_out = {"format", "packages", "command", "asked_for"}
    return {name: str(value) for name, value in entries.items() if name not in left_out and value not in (None, "")}


def environment_of(store: Store) -> Row | None:
    """Return what a run was computed with, from either of the two copies; None without one that can be read."""
    for name in (files.ENVIRONMENT, files.ENVIRONMENT_COPY):
        with contextlib.suppress(*MISREAD):
            return dict(store.read_json(name))
    return None


def compute(found: Material) -> PageSection:
    """Return what the runs have cost, by the processor that they were computed on, failed attempts included."""
    groups = computed_on(found.runs)
    everything = [status for group in groups.values() for status in group]
    cells = [[*place, *cost_of(group)] for place, group in [*groups.items(), (("all", ""), everything)] if group]
    headers = ["processor", "threads", "parts", "attempts", "hours", "processor-hours", "largest memory (MB)"]
    caption = "All attempts. The hours of those that were killed, and of older programs, are not known."
    table = PageTable("compute", caption, Table(headers, cells))
    return PageSection("compute", "Compute", tables=[table] if everything else ())


def computed_on(runs: Sequence[RunDirectory]) -> dict[tuple[str, str], list[Status]]:
    """Return the status of every part, by the processor and the number of threads that its run records."""
    groups: dict[tuple[str, str], list[Status]] = {}
    for run in runs:
        environment = environment_of(run.store) or {}
        place = str(environment.get("cpu", "unknown")), str(environment.get("threads", "unknown"))
        with contextlib.suppress(*MISREAD):  # a run whose parts are not known is named among the runs
            statuses = [read_status(part.store) for part in run.parts]
            groups.setdefault(place, []).extend(status for status in statuses if status is not None)
    return groups


def cost_of(group: Sequence[Status]) -> list[str]:
    hours = [sum(getattr(status, name) for status in group) / 3600 for name in ("seconds", "processor_seconds")]
    attempts = sum(status.attempts for status in group)
    return [str(len(group)), str(attempts), *(f"{value:.3g}" if value else "-" for value in hours),
            f"{max(status.peak_memory for status in group):.0f}"]  # fmt: skip
