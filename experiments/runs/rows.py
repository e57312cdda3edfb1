"""Stored runs as rows, and only from what is stored: what tables, figures, the page, ``list`` and ``rows()`` show.

Read without PyTorch, so that hundreds of runs are listed at once.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from experiments.runs.directory import Part, Row, RunDirectory
from experiments.runs.status import read_status
from foundations import files
from foundations.errors import UsageError
from foundations.recovery import MISREAD
from foundations.steps import Step
from foundations.store import Store

DONE, COLLAPSED, DIVERGED, UNFINISHED, DAMAGED = ENDINGS = ("done", "collapsed", "diverged", "unfinished", "damaged")
"""``collapsed``: no path from input to output is left; it has a result only with --allow_collapse. ``damaged``: a file
that it is shown by cannot be read, or is not the one that was written."""
COUNTED = ENDINGS[:-1]
"""Those that have a column in every table."""


def result_rows(
    run: RunDirectory, parts: Collection[str] | None = None, asked: Mapping[str, Any] | None = None
) -> list[Row]:
    """Return a row for each level or branch of a lottery run, whether it is done or not.

    Each has what its result says (before it is done ``level`` and ``density``) and then ``strategy``, ``k``,
    ``replicate``, ``key``, ``path``, ``state`` (one of :data:`ENDINGS`), ``effective_density`` and what all attempts on
    it have cost (``attempts``, ``seconds``, ``processor_seconds``, ``peak_memory`` in MB); where the state is
    ``damaged`` also ``reason``, and nothing of what a damaged file says. Of a run whose descriptor is damaged there is
    a single row, which has no level.

    Args:
        run: the directory.
        parts: the names of those that are wanted; by default all that were begun.
        asked: the entries of its descriptor; by default as they are stored.
    """
    try:
        asked = run.hyperparameters if asked is None else asked
        there = {part.name: part for part in run.parts} if run.path.is_dir() else {}
        wanted = there if parts is None else parts
        return [result_row(run, there.get(name) or Part(name, run.store.sub(name)), asked) for name in wanted]
    except MISREAD as error:
        return [{"replicate": run.replicate, "key": run.path.parent.name, "path": run.path, **damage(error)}]


def result_row(run: RunDirectory, part: Part, asked: Mapping[str, Any]) -> Row:
    """Return the row of a level or branch; see :func:`result_rows`."""
    about = {
        "strategy": strategy_of(asked), "k": Step(asked["k"]).short, "replicate": run.replicate,
        "key": run.path.parent.name, "path": part.store.path,
    }  # fmt: skip
    planned = {"level": level_of(part), "density": planned_density(run.kind, part, asked)}
    if fault := fault_of(part):
        return {**planned, **about, "state": DAMAGED, "effective_density": None, "reason": fault}
    report = sparsity_report(part)
    planned["density"] = report.get("density", planned["density"])
    result = part.result() if part.done else planned
    status = read_status(part.store)
    cost = {} if status is None else status.cost
    return {**result, **about, "state": ending(part), "effective_density": report.get("effective_density"), **cost}


def damage(error: Exception) -> Row:
    """Return what a row says in the place of what cannot be read, or is not what was written."""
    return {"state": DAMAGED, "reason": str(error).splitlines()[0] if str(error) else type(error).__name__}


def level_of(part: Part) -> int:
    return int(part.name.removeprefix(files.LEVEL).partition("/")[0])


def ending(part: Part) -> str:
    """Return how a part ended."""
    if fault_of(part):
        return DAMAGED
    if not part.has_path:
        return COLLAPSED
    word = part.state.word
    return word if word in ENDINGS else UNFINISHED


def fault_of(part: Part) -> str:
    """Why a part cannot be shown: a file that is damaged, or is not the one that was written; empty if it can."""
    try:
        _ = part.has_path, part.state
        return part.fault
    except MISREAD as error:
        return str(damage(error)["reason"])


def faults(run: RunDirectory) -> dict[Path, str]:
    """Return why parts of a run, or the whole of it, cannot be shown, by their directories."""
    try:
        _ = run.hyperparameters
        return {part.store.path: fault for part in run.parts if (fault := fault_of(part))}
    except MISREAD as error:
        return {run.path: str(damage(error)["reason"])}


def sparsity_report(part: Part) -> Mapping[str, Any]:
    return part.store.read_json(files.SPARSITY_REPORT) if part.store.has(files.SPARSITY_REPORT) else {}


def has_result(row: Row) -> bool:
    """Return whether a row of :func:`result_rows` has what has come of its part."""
    return row["state"] != DAMAGED and Store(row["path"]).done


def planned_density(kind: str, part: Part, asked: Mapping[str, Any]) -> float:
    """Return what a part keeps of the prunable weights by its hyperparameters, before its mask is found."""
    fraction = flat(asked).get("pruning_fraction")
    if kind == "train" or fraction is None:
        return 1.0
    return float((1 - fraction) ** (level_of(part) if part.name.startswith(files.LEVEL) else 1))


# Hyperparameters -----------------------------------------------------------------------------------------------------


def flat(entries: Mapping[str, Any]) -> Row:
    """Return hyperparameters by the names of their flags, those of nested bundles too.

    A strategy is ``pruning_strategy``, with its own fields beside it; none is that of the full network.
    """
    found: Row = {}
    for name, value in entries.items():
        if name == "strategy":
            found["pruning_strategy"] = strategy_of(entries)
            value = {field: own for field, own in (value or {}).items() if field != "kind"}
        if isinstance(value, Mapping):
            found |= flat(value)
        elif name != "strategy" and not (name == "pruning" and value is None):
            found[name] = value
    return found


def strategy_of(entries: Mapping[str, Any]) -> str:
    strategy = entries.get("strategy")
    return "none" if strategy is None else str(strategy["kind"])


def named(hyperparameters: Mapping[str, Any]) -> Row:
    """Return hyperparameters as people write them: steps in short, a list as text."""
    return {name: plain(value) for name, value in hyperparameters.items()}


def plain(value: Any) -> Any:
    """Return a value as a flag takes it."""
    if isinstance(value, list):
        return ",".join(str(plain(element)) for element in value)
    step = as_step(value)
    return value if step is None else step.short


def as_step(value: Any) -> Step | None:
    """Return the step that a text such as ``3ep`` or ``3ep0it`` says; None if it says none. A bare number is none."""
    if not isinstance(value, str) or not value.endswith(("ep", "it")):
        return None
    try:
        return Step(value)
    except UsageError:
        return None
