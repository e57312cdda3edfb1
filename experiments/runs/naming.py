"""What experiments are called beside each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.runs.rows import flat, plain
from foundations.desc import Desc
from foundations.hparams import Hparams, as_text
from stability import StabilityDesc

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


def differences(descs: Sequence[Hparams]) -> list[list[str]]:
    """Return for each descriptor (or task) what tells it from the others, such as ``["sgd", "lr = 0.01"]``."""
    known = [flat(desc.to_dict()) for desc in descs]
    names = list(dict.fromkeys(name for entries in known for name in entries))
    marks: list[list[str]] = [[] for _ in descs]
    for name in sorted(names, key=lambda name: name not in SPEAKING):
        more = [[*before, said(name, text(one.get(name)))] for before, one in zip(marks, known, strict=True)]
        if len(set(map(tuple, more))) > len(set(map(tuple, marks))):
            marks = more
    return marks


def said(name: str, value: str) -> str:
    """Return ``lr = 0.1``, or ``sgd`` for one that speaks for itself."""
    return value if name in SPEAKING else f"{name} = {value}"


def text(value: Any) -> str:
    """Return a hyperparameter's value, for people."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else as_text(plain(value))


def name_of_network(desc: StabilityDesc) -> str:
    """Return ``full network`` or ``adsynflow, 10%``."""
    return "full network" if desc.strategy is None else f"{desc.strategy_name}, {100 * desc.density:.3g}%"
