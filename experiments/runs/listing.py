"""The rows that ``list`` shows, one for each training, level, branch and analysis; ``--where`` and ``--sort``."""

import contextlib
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.runs.directory import Part, RunDirectory, State, directories
from experiments.runs.rows import (
    as_step,
    damage,
    flat,
    k_of,
    level_of,
    measured,
    named,
    planned_density,
    sparsity_report,
)
from foundations import files
from foundations.errors import UsageError, near_misses
from foundations.formats import Row
from foundations.recovery import MISREAD
from foundations.steps import Step

COLUMNS = (
    "kind", "run", "part", "model", "dataset", "pruning_strategy", "branch", "density", "k", "level", "children",
    "replicate", "state", "at", "since", "reason", "has_path", "accuracy", "barrier", "size", "path",
    "validation_accuracy", "early_stopping_iteration", "early_stopping_accuracy", "density_asked",
)  # fmt: skip
"""Of every row, before its hyperparameters. Accuracy and barrier are fractions of 1, a size is in bytes."""

def list_runs(root: Path | str) -> list[Row]:
    """Return a row for each training, level, branch and analysis below a root; one for a run that has none yet.

    A file that cannot be read makes the row's state ``damaged``; its ``reason`` names the file.
    """
    return [row for run in directories(root) for row in rows_of(run)]


def rows_of(run: RunDirectory) -> Iterator[Row]:
    """Yield the rows of a run."""
    try:
        hyperparameters = flat(run.hyperparameters)
        parts = run.parts
    except MISREAD as error:
        yield blank(run, run.path) | damage(error)
        return
    for part in parts or [Part("", run.store)]:
        row = blank(run, part.store.path) | {"part": part.name} | named(hyperparameters)
        try:
            yield row | (damage(part.fault) if part.fault else about(run, part, hyperparameters))
        except MISREAD as error:
            yield row | damage(error)


def blank(run: RunDirectory, path: Path) -> Row:
    """Return what a directory's name says of it."""
    known = {"kind": run.kind, "run": run.name, "part": "", "replicate": run.replicate, "path": str(path)}
    return {**dict.fromkeys(COLUMNS), **known, "size": size_of(path)}


def about(run: RunDirectory, part: Part, hyperparameters: Mapping[str, Any]) -> Row:
    """Return what a part is, how far it has come, and what came of it."""
    state, result = part.state, part.result() if part.done else {}
    verdict = part.store.read_json(files.INSTABILITY) if part.store.has(files.INSTABILITY) else {}
    planned = planned_density(run.kind, part, run.hyperparameters)
    row: Row = {
        "state": state.word, "at": None if state.at is None else state.at.short, "since": state.since or None,
        "reason": state.reason or None, "has_path": part.has_path, "accuracy": accuracy(part, verdict, result),
        "barrier": verdict["error_barrier"]["test"]["raw"] if verdict else None,
        "density": sparsity_report(part).get("density", planned), "density_asked": planned,
        "validation_accuracy": result.get("validation_accuracy"),
        "early_stopping_iteration": result.get("early_stopping_iteration"),
        "early_stopping_accuracy": result.get("early_stopping_test_accuracy"),
    }  # fmt: skip
    if part.name.startswith(files.LEVEL):
        branch = part.name.partition("/")[2]
        row |= {"level": level_of(part), "branch": branch or None}
        if branch:
            own = {name: value for name, value in part.store.read_json(files.DESC).items() if name != "kind"}
            row |= {name: value for name, value in flat(own).items() if name not in hyperparameters}
    if part.name.startswith(files.ANALYSIS):
        row["k"] = k_of(part, {})
    if part.marker == files.SEARCH:
        found = part.result()["k"]
        row |= {"k": None if found is None else Step(found).short, "branch": part.name}
    children = [child for child in part.children if child.path.name != files.FULL_NETWORK]
    row |= {"children": sum(child.done for child in children)} if children else {}
    return row | measured(part.store)


def state_text(row: Row) -> str:
    """Return ``running since 14:05``, ``interrupted at 3ep``, or ``done, collapsed`` for a mask without a path."""
    at, since = row.get("at"), row.get("since")
    text = State(row["state"], None if at is None else Step(at), since or "").text
    return f"{text}, collapsed" if text == "done" and row["has_path"] is False else text


def accuracy(part: Part, verdict: Mapping[str, Any], result: Mapping[str, Any]) -> float | None:
    """Return the test accuracy at the end, or before it at the last epoch; of an analysis the children's mean."""
    if verdict:
        errors = verdict["child_error"]["test"]
        return 1 - float(sum(errors)) / len(errors)
    last = [] if result else part.last_rows
    found = result.get("test_accuracy", last[-1].get("test_accuracy") if last else None)
    return None if found is None else float(found)


def size_of(path: Path) -> int:
    """Return the bytes of all files below a directory; the branches of a level have rows of their own."""
    total = 0
    for folder, inner, names in os.walk(path):
        here = Path(folder)
        below_level = here.parent == path and path.name.startswith(files.LEVEL) and not files.is_aside(here.name)
        if below_level and (here / files.DESC).is_file():
            inner.clear()
            continue
        for name in names:
            with contextlib.suppress(OSError):  # a file that its writer has renamed meanwhile
                total += (here / name).stat().st_size
    return total


def known_columns(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))


FORM = re.compile(r"\s*(?P<name>[\w.]+)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*")
SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
ALIASES: Mapping[str, str] = {"strategy": "pruning_strategy", "data": "dataset"}


@dataclass(frozen=True)
class Condition:
    """``lr<0.1``: what is compared, how, and with what.

    Numbers compare as numbers (``90%`` is 0.9), steps by epochs and iterations (a bare number is epochs, as in
    ``--k=30``), everything else as text. A row that has no such value fulfils ``!=`` and nothing else.
    """

    name: str
    sign: str
    value: str
    flag: str = "where"

    def holds(self, row: Row) -> bool:
        found = row.get(self.name)
        if found is None:
            return self.sign == "!="
        mine, other = comparable(found, self.value)
        if isinstance(mine, str) and self.sign not in ("=", "!="):
            raise UsageError(
                f"--{self.flag}={self.name}{self.sign}{self.value}: {self.name} is {found!r} in {row['run']}; "
                f"{self.sign} compares numbers with numbers and steps with steps"
            )
        return SIGNS[self.sign](mine, other)


def comparable(found: Any, given: str) -> tuple[Any, Any]:
    """Return a row's value and the one it is compared with: both numbers, or both steps, or else both text."""
    if isinstance(found, bool):
        return str(found).lower(), given.lower()
    if isinstance(found, (int, float)) and (number := as_number(given)) is not None:
        return float(found), number
    if (step := as_step(found)) is not None:
        try:
            return step.order, Step(given).order
        except UsageError:
            pass
    return str(found), given


def as_number(text: str) -> float | None:
    """``0.1`` or ``10%``; None for what is no number."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def read_condition(text: str, flag: str = "where") -> Condition:
    """Return the condition that a text such as ``lr<0.1`` says; ``UsageError`` if it says none."""
    match = FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"--{flag}={text}: expected NAME=VALUE, or !=, <, <=, > or >= in the place of =")
    return Condition(ALIASES.get(match["name"], match["name"]), match["sign"], match["value"], flag)


def chosen(rows: Sequence[Row], conditions: Iterable[str], known: Sequence[str], flag: str = "where") -> list[Row]:
    """Return the rows that fulfil all conditions.

    Raises:
        UsageError: a condition has no such form, or its name is no column and no hyperparameter among ``known``.
    """
    read = [read_condition(text, flag) for text in conditions]
    for condition in read if rows else ():  # without rows no hyperparameter is known
        refuse_unknown_column(flag, condition.name, known)
    return [row for row in rows if all(condition.holds(row) for condition in read)]


def in_order(rows: Sequence[Row], sort: str, known: Sequence[str]) -> list[Row]:
    """Return the rows sorted by a column, with ``-`` before its name the largest first; rows without it come last."""
    name = ALIASES.get(sort.removeprefix("-"), sort.removeprefix("-"))
    if rows:
        refuse_unknown_column("sort", name, known)
    having = [row for row in rows if row.get(name) is not None]
    having.sort(key=lambda row: rank(row[name]), reverse=sort.startswith("-"))
    return [*having, *(row for row in rows if row.get(name) is None)]


def rank(value: Any) -> tuple[int, Any]:
    """Return what values are sorted by: numbers before steps before text."""
    if isinstance(value, (int, float)):
        return 0, float(value)
    step = as_step(value)
    return (2, str(value)) if step is None else (1, step.order)


def refuse_unknown_column(flag: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        names = ", ".join(known)
        raise UsageError(f"--{flag}={name}: no such column or hyperparameter{near_misses(name, known)}; valid: {names}")
