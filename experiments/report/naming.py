"""What experiments are called beside each other, and how the trainings behind a number ended."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from experiments.runs.rows import DONE, ENDINGS
from foundations.desc import Desc
from foundations.hparams import Hparams, as_text

SPEAKING = ("model", "dataset", "optimizer")
"""Hyperparameters whose values need no name beside them."""


def distinct(described: Mapping[str, tuple[str, Desc]]) -> dict[str, str]:
    """Return a name for each key.

    Those that would have the same name say in which hyperparameters they differ: ``adsynflow, 10%, sgd``,
    ``snip, 10%, lr = 0.01``. One that tells apart none that are still alike is left out.

    Args:
        described: by key, the name that would do if there were no others, and the descriptor.
    """
    namesakes: dict[str, list[str]] = {}
    for key, (name, _) in described.items():
        namesakes.setdefault(name, []).append(key)
    named: dict[str, str] = {}
    for name, keys in namesakes.items():
        for key, marks in zip(keys, differences([described[key][1] for key in keys]), strict=True):
            named[key] = ", ".join([name, *marks])
    taken = list(named.values())  # numbers that differ in their last digits only may look alike
    return {key: named[key] if taken.count(named[key]) == 1 else f"{named[key]} [{key[-4:]}]" for key in described}


def differences(descs: Sequence[Desc]) -> list[list[str]]:
    """For each descriptor what tells it from the others, such as ``["sgd", "lr = 0.01"]``."""
    flat = [leaves(desc) for desc in descs]
    names = list(dict.fromkeys(name for entries in flat for name in entries))
    marks: list[list[str]] = [[] for _ in descs]
    for name in sorted(names, key=lambda name: name not in SPEAKING):
        more = [[*before, said(name, text(entries.get(name)))] for before, entries in zip(marks, flat, strict=True)]
        if number_of(more) > number_of(marks):
            marks = more
    return marks


def number_of(marks: Sequence[Sequence[str]]) -> int:
    return len(set(map(tuple, marks)))


def leaves(hparams: Hparams) -> dict[str, Any]:
    """Return all hyperparameters by name, those of nested bundles too; of a strategy also its own name."""
    found: dict[str, Any] = {}
    for item in fields(hparams):
        value = getattr(hparams, item.name)
        if item.metadata.get("tagged"):
            found[item.name] = None if value is None else value.name
        if is_dataclass(value):
            found |= leaves(value)  # type: ignore[arg-type]
        elif not item.metadata.get("tagged"):
            found[item.name] = value
    return found


def said(name: str, value: str) -> str:
    """``lr = 0.1``; ``sgd`` for one that speaks for itself."""
    return value if name in SPEAKING else f"{name} = {value}"


def text(value: Any) -> str:
    """Return a hyperparameter's value, for people."""
    match value:
        case None:
            return "none"
        case float():
            return f"{value:.6g}"
        case tuple():
            return ",".join(map(text, value))
        case _:
            return as_text(value)


def count(states: Sequence[str], results: int) -> str:
    """``n=3``, or what became of the others: ``2 of 3; 1 collapsed``.

    Args:
        states: of all replicates.
        results: how many of them have a result.
    """
    total = len(states)
    numbers = Counter(state for state in states if state != DONE)
    parts = [f"n={total}" if results == total else f"{results} of {total}"]
    return "; ".join([*parts, *(f"{numbers[state]} {state}" for state in ENDINGS if numbers[state])])
