"""Stored runs as rows, and only from what is stored: what tables, figures, the page, ``list`` and ``rows()`` show.

:func:`numbers_of` is the one place where a row gets its numbers, and :func:`flat` the one that flattens a descriptor.
Only the numbers of an analysis need PyTorch, so that hundreds of runs are listed at once.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from experiments.runs.directory import Part, RunDirectory
from experiments.runs.status import cost_of, environment_of, gpus, statuses
from foundations import files
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.recovery import MISREAD
from foundations.steps import Step
from foundations.store import Store

if TYPE_CHECKING:
    from stability.verdict import Verdict

DONE, COLLAPSED, DIVERGED, UNFINISHED, DAMAGED = ENDINGS = ("done", "collapsed", "diverged", "unfinished", "damaged")
"""``collapsed``: no path from input to output is left; it has a result only with --allow_collapse. ``damaged``: a file
is missing, cannot be read, or is not the one that was written."""
COUNTED = ENDINGS[:-1]
"""Those that have a column in every table."""


def result_rows(
    run: RunDirectory, parts: Collection[str] | None = None, asked: Mapping[str, Any] | None = None
) -> list[Row]:
    """Return a row for each training, level, branch or analysis of a run, whether it is done or not.

    Each has its numbers (see :func:`numbers_of`; before it is done a level has ``level`` and ``density``) and then
    ``replicate``, ``key``, ``path``, ``state`` (one of :data:`ENDINGS`) and what all attempts on it, an analysis with
    its children, have cost: ``attempts``, ``seconds``, ``processor_seconds``, ``gpu_seconds`` where a GPU was used,
    ``peak_memory`` in MB, on which ``processor`` and with how many ``threads``. Rows of lottery and stability runs also
    have ``strategy``, ``k``, ``density_asked``, the exact number of weights ``kept``, and ``effective_density``. A row
    that is ``damaged`` has a ``reason``, and nothing of what the damaged file says. Of a run whose descriptor is
    damaged there is a single row.

    Args:
        run: the directory.
        parts: the names of those that are wanted; by default all that were begun.
        asked: the entries of its descriptor; by default as they are stored.
    """
    try:
        asked = run.hyperparameters if asked is None else asked
        there = {part.name: part for part in run.parts} if run.path.is_dir() else {}
        wanted = there if parts is None else parts
        return [result_row(run, there.get(name) or new_part(run, name), asked) for name in wanted]
    except MISREAD as error:
        return [{"replicate": run.replicate, "key": run.path.parent.name, "path": run.path, **damage(error)}]


def new_part(run: RunDirectory, name: str) -> Part:
    return Part(name, run.store.sub(name), files.INSTABILITY if name.startswith(files.ANALYSIS) else files.DONE)


def result_row(run: RunDirectory, part: Part, asked: Mapping[str, Any]) -> Row:
    about: Row = {"replicate": run.replicate, "key": run.path.parent.name, "path": part.store.path}
    planned: Row = {}
    if prunes := run.kind in ("lottery", "stability"):
        density = planned_density(run.kind, part, asked)
        about = {"strategy": strategy_of(asked), "k": k_of(part, asked), **about, "density_asked": density}
        planned = {**({"level": level_of(part)} if part.name.startswith(files.LEVEL) else {}), "density": density}
    if fault := fault_of(part):
        lost = {"effective_density": None} if prunes else {}
        return {**planned, **about, "state": DAMAGED, **lost, "reason": fault}
    if prunes:
        report = sparsity_report(part)
        planned["density"] = report.get("density", density)
        about |= {name: report.get(name) for name in ("kept", "effective_density")}
    cost: Row = dict(cost_of(statuses([part.store, *part.children])))
    if cost and (environment := environment_of(run.store)):
        cost |= {"processor": environment.get("cpu"), "threads": environment.get("threads")}
        cost |= {"gpu_seconds": cost["seconds"] * gpus(environment)} if gpus(environment) else {}
    found = numbers_of(part)
    return {**found, **planned, **found, **about, "state": ending(part), **cost}


def numbers_of(part: Part) -> Row:
    """Return the numbers that a part has come to, by the names of their columns; none before it is done.

    A training that is not done has those of its last evaluation.
    """
    if not part.done:
        return dict(part.last_rows[-1]) if not part.name and part.last_rows else {}
    if part.marker != files.INSTABILITY:
        return part.result() | measured(part.store)
    from stability.verdict import read_verdict  # which needs PyTorch

    return numbers_of_verdict(read_verdict(part.store)) | measured(part.store)


def measured(here: Store) -> Row:
    """Return what was measured in a directory (``--measure``), as ``<measurement>.<number>``."""
    entries = here.read_json(files.MEASUREMENTS)["measured"] if here.has(files.MEASUREMENTS) else {}
    return {f"{name}.{number}": value for name, entry in entries.items() for number, value in entry["numbers"].items()}


def numbers_of_verdict(verdict: "Verdict") -> Row:
    judged = verdict.analysis.judge_by
    return {
        **verdict.summary(), "verdict": verdict.text, "judge_by": judged, "judged_examples": verdict.examples[judged],
    }  # fmt: skip


def damage(error: object) -> Row:
    """Return what a row says in the place of what cannot be read, or is not what was written."""
    return {"state": DAMAGED, "reason": str(error).splitlines()[0] if str(error) else type(error).__name__}


def level_of(part: Part) -> int:
    return int(part.name.removeprefix(files.LEVEL).partition("/")[0])


def k_of(part: Part, asked: Mapping[str, Any]) -> str:
    """Return the step at which a part was pruned or its children start; empty for what is at none."""
    k = part.name.removeprefix(files.ANALYSIS) if part.name.startswith(files.ANALYSIS) else asked.get("k")
    return "" if k is None else Step(k).short


def ending(part: Part) -> str:
    """Return how a part ended, as one of :data:`ENDINGS`."""
    if fault_of(part):
        return DAMAGED
    if not part.has_path:
        return COLLAPSED
    word = part.state.word
    return word if word in ENDINGS else UNFINISHED


def fault_of(part: Part) -> str:
    """Return why a part cannot be shown: a file that is damaged, or not the one that was written; empty if it can."""
    try:
        _ = part.has_path, part.state
        return str(part.fault or "")
    except MISREAD as error:
        return str(damage(error)["reason"])


def sparsity_report(part: Part) -> Mapping[str, Any]:
    return part.store.read_json(files.SPARSITY_REPORT) if part.store.has(files.SPARSITY_REPORT) else {}


def has_result(row: Row) -> bool:
    """Return whether a level, branch or training is done and can be read."""
    return row["state"] != DAMAGED and Store(row["path"]).done


def planned_density(kind: str, part: Part, asked: Mapping[str, Any]) -> float:
    """Return what a part was asked to keep of the prunable weights; its mask keeps a whole number of them."""
    fraction = flat(asked).get("pruning_fraction")
    if kind == "train" or fraction is None:
        return 1.0
    return float((1 - fraction) ** (level_of(part) if part.name.startswith(files.LEVEL) else 1))


def density_text(density: float) -> str:
    """Return a density in percent with four digits at most: ``10%``, ``51.2%``, ``0.7979%``."""
    return f"{100 * density:.4g}%"


# Hyperparameters -----------------------------------------------------------------------------------------------------


def leaves(entries: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the values of nested dictionaries, each with the names that lead to it; a list is one value."""
    for name, value in entries.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name), value


def flat(entries: Mapping[str, Any]) -> Row:
    """Return the hyperparameters of a descriptor by the names of their flags, those of nested bundles too.

    A strategy is ``pruning_strategy``, with its own fields beside it; ``none`` is that of the full network.
    """
    found: Row = {}
    for names, value in leaves(entries):
        match names:
            case (*_, "strategy", "kind"):
                found["pruning_strategy"] = str(value)
            case (*_, "strategy"):
                found["pruning_strategy"] = "none"
            case (*_, "pruning") if value is None:
                pass
            case _:
                found[names[-1]] = value
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
