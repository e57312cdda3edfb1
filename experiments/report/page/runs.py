"""The sections on runs as such: what there is, in what they differ, how to compute them again, and with what."""

import contextlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report.lines import Replicates
from experiments.report.page.material import Material, TableRow
from experiments.report.page.parts import PageSection, PageTable
from experiments.report.tables import Table, percent
from experiments.runs.directory import RunDirectory
from experiments.runs.rows import DONE
from experiments.runs.status import Status, read_status
from foundations import files
from foundations.hparams import as_text
from foundations.recovery import MISREAD
from foundations.store import Store


def summary(found: Material, verdicts: list[str]) -> PageSection:
    """Return the most important numbers, and what did not end as it should."""
    kinds = Counter(run.kind for run in found.runs)
    runs = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    sentences = [f"{len(found.runs)} runs ({runs})."]
    lines = found.lines
    sentences += [f"Full network: {line.text}." for line in lines if line.is_full]
    if sum(line.is_full for line in lines) <= 1:  # else they are not to be compared
        sentences += at_densities([line for line in lines if not line.is_full])
    sentences += [f"{verdict}." for verdict in verdicts]
    return PageSection("summary", "Summary", sentences=[*sentences, *ended_otherwise(found), *found.unread])


def at_densities(lines: Sequence[Replicates]) -> list[str]:
    """Return the best strategy at each density that several have; of a strategy without such a density its sparsest."""
    groups = grouped_by_density(lines)
    shared = {density: group for density, group in groups.items() if len({line.strategy for line in group}) > 1}
    sentences = [f"{density} kept: {best_of(group)}." for density, group in shared.items()]
    compared = {line.strategy for group in shared.values() for line in group}
    sparsest = {line.strategy: line for group in groups.values() for line in group}  # the last one stays
    rest = [line for strategy, line in sparsest.items() if strategy not in compared]
    own = [f"{100 * line.density:.3g}% kept: {line.strategy}, its sparsest: {line.text}." for line in rest]
    return [*sentences, *own]


def best_of(group: Sequence[Replicates]) -> str:
    """Return the line with the highest mean, of how many, and which of the others did not end as they should."""
    best = max(group, key=lambda line: line.mean or 0)
    lost = [f"; {line.strategy}: {line.counted}" for line in group if not line.whole and line is not best]
    return f"{best.strategy}, the best of {len(group)}: {best.text}{''.join(lost)}"


def grouped_by_density(lines: Sequence[Replicates]) -> dict[str, list[Replicates]]:
    groups: dict[str, list[Replicates]] = {}
    for line in sorted(lines, key=lambda line: -line.density):
        groups.setdefault(f"{100 * line.density:.3g}%", []).append(line)
    return groups


def ended_otherwise(found: Material) -> list[str]:
    numbers = Counter(row["state"] for row in found.endings if row["state"] != DONE)
    return [f"{number} of {len(found.endings)} parts of runs: {state}." for state, number in sorted(numbers.items())]


def runs_section(found: Material) -> PageSection:
    """Return how every part of every run ended."""
    headers = ["kind", "part", "replicate", "state", "test accuracy", "why", "directory"]
    cells = [
        [row["kind"], row["part"], str(row["replicate"]), row["state"], percent([row["accuracy"]]), row["why"],
         row["directory"]]
        for row in found.endings
    ]  # fmt: skip
    return PageSection(
        "runs", "Runs", tables=[PageTable("runs", "Every training, level, branch or analysis.", Table(headers, cells))]
    )


def hyperparameters(found: Material) -> PageSection:
    """In what experiments differ and, folded up, what they have in common."""
    experiments: dict[str, Mapping[str, str]] = {}
    for run in found.runs:
        with contextlib.suppress(*MISREAD):  # which is named among the runs
            experiments.setdefault(run.path.parent.name, {"kind": run.kind, **leaves(run.hyperparameters)})
    names = list(dict.fromkeys(name for one in experiments.values() for name in one))
    values = {name: {one.get(name, "") for one in experiments.values()} for name in names}
    differing = [name for name in names if len(values[name]) > 1]
    table = Table(
        ["experiment", *differing],
        [[key, *(one.get(name, "") for name in differing)] for key, one in experiments.items()],
    )
    common = Table(["hyperparameter", "value"], [[name, *values[name]] for name in names if name not in differing])
    return PageSection(
        "hyperparameters", "Hyperparameters",
        tables=[PageTable("differing", "Those that differ.", table)] if differing else (),
        details=[PageTable("common", "Those that all have in common", common)],
    )  # fmt: skip


def leaves(entries: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a descriptor by name, as text; a bundle with a ``kind`` of its own counts by that."""
    found: dict[str, str] = {}
    for name, value in entries.items():
        if isinstance(value, Mapping):
            inner = dict(value)
            if "kind" in inner:
                found[name] = inner.pop("kind")
            found |= leaves(inner)
        elif name != "format":
            found[name] = ",".join(map(str, value)) if isinstance(value, list) else as_text(value)
    return found


def reproduce(found: Material) -> PageSection:
    """Return the commands that computed the runs, and with what."""
    environments = [environment for run in found.runs if (environment := environment_of(run.store)) is not None]
    commands = dict.fromkeys(
        shlex.join(["python", "main.py", *one["command"]]) for one in environments if one.get("command")
    )
    rows: dict[str, dict[str, None]] = {}
    for one in environments:
        for name, value in described(one).items():
            rows.setdefault(name, {})[value] = None
    cells = [[name, "; ".join(values)] for name, values in rows.items()]
    table = PageTable("environment", "What they were computed with.", Table(["what", "value"], cells))
    return PageSection("reproduce", "To compute it again", commands=list(commands), tables=[table] if cells else ())


def compute(found: Material) -> PageSection:
    """What the runs have cost, by the processor that they were computed on, failed and repeated attempts included."""
    groups = computed_on(found.runs)
    everything = [status for group in groups.values() for status in group]
    cells = [[*place, *cost_of(group)] for place, group in [*groups.items(), (("all", ""), everything)] if group]
    headers = ["processor", "threads", "parts", "attempts", "hours", "processor-hours", "largest memory (MB)"]
    caption = (
        "All attempts that ended by themselves. One that was killed is counted without its hours, and so is what was "
        "computed before hours were recorded."
    )
    return PageSection(
        "compute", "Compute", tables=[PageTable("compute", caption, Table(headers, cells))] if everything else ()
    )


def computed_on(runs: Sequence[RunDirectory]) -> dict[tuple[str, str], list[Status]]:
    """The status of every part, by the processor and the number of threads that its run records."""
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


def environment_of(store: Store) -> TableRow | None:
    """Return what a run was computed with, from either of the two copies; None without one that can be read."""
    for name in (files.ENVIRONMENT, files.ENVIRONMENT_COPY):
        with contextlib.suppress(*MISREAD):
            return store.read_json(name)
    return None


def described(environment: TableRow) -> dict[str, str]:
    entries = {**environment.get("packages", {}), **environment}
    entries["plugins"] = ", ".join(environment.get("plugins") or {})
    left_out = {"format", "packages", "command", "asked_for"}
    return {name: str(value) for name, value in entries.items() if name not in left_out and value not in (None, "")}
