"""What ``--where`` and ``--sort`` of a listing mean."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.listing import Row, as_step
from foundations.errors import UsageError, near_misses
from foundations.steps import Step

FORM = re.compile(r"\s*(?P<name>\w+)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*")
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

    def holds(self, row: Row) -> bool:
        """Whether it is true of a row; ``UsageError`` where text is asked for its order."""
        found = row.get(self.name)
        if found is None:
            return self.sign == "!="
        mine, other = comparable(found, self.value)
        if isinstance(mine, str) and self.sign not in ("=", "!="):
            raise UsageError(
                f"--where={self.name}{self.sign}{self.value}: {self.name} is {found!r} in {row['run']}; "
                f"{self.sign} compares numbers with numbers and steps with steps"
            )
        return SIGNS[self.sign](mine, other)


def comparable(found: Any, given: str) -> tuple[Any, Any]:
    """A row's value and the one it is compared with: both numbers, or both steps, or else both text."""
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


def read_condition(text: str) -> Condition:
    """The condition that a text says; ``UsageError`` if it says none."""
    match = FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"--where={text}: expected NAME=VALUE, or !=, <, <=, > or >= in the place of =")
    return Condition(ALIASES.get(match["name"], match["name"]), match["sign"], match["value"])


def chosen(rows: Sequence[Row], conditions: Iterable[str], known: Sequence[str]) -> list[Row]:
    """The rows that fulfil all conditions.

    Raises:
        UsageError: a condition has no such form, or its name is no column and no hyperparameter among ``known``.
    """
    read = [read_condition(text) for text in conditions]
    for condition in read if rows else ():  # without rows no hyperparameter is known
        refuse_unknown_column("where", condition.name, known)
    return [row for row in rows if all(condition.holds(row) for condition in read)]


def in_order(rows: Sequence[Row], sort: str, known: Sequence[str]) -> list[Row]:
    """The rows by a column, the largest first with ``-`` before its name; those that have no value come last."""
    name = ALIASES.get(sort.removeprefix("-"), sort.removeprefix("-"))
    if rows:
        refuse_unknown_column("sort", name, known)
    having = [row for row in rows if row.get(name) is not None]
    lacking = [row for row in rows if row.get(name) is None]
    return [*sorted(having, key=lambda row: rank(row[name]), reverse=sort.startswith("-")), *lacking]


def rank(value: Any) -> tuple[int, Any]:
    """What values are sorted by: numbers before steps before text."""
    if isinstance(value, (int, float)):
        return 0, float(value)
    step = as_step(value)
    return (2, str(value)) if step is None else (1, step.order)


def refuse_unknown_column(flag: str, name: str, known: Sequence[str]) -> None:
    """Raises ``UsageError`` with near misses for what is no column."""
    if name not in known:
        names = ", ".join(known)
        raise UsageError(f"--{flag}={name}: no such column or hyperparameter{near_misses(name, known)}; valid: {names}")
