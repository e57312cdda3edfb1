"""What the JSON of a run holds at least, so that whoever reads it can rely on that.

Checked once, where a file is decoded: values that are readable but of another shape (``{}``, ``[]``, null, numbers that
are huge or not finite) are damage like any other. Entries that are not named here are the writer's own affair.
"""

import math
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, get_args

from foundations import files
from foundations.errors import UsageError
from foundations.steps import Step

HUGE = 2**63
"""No whole number comes near it. A loss that diverges may."""


def is_number(value: Any) -> bool:
    """Return whether this is a finite number; a whole one of a possible size."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and -HUGE < value < HUGE


def is_count(value: Any) -> bool:
    """Return whether this is a whole number from 0 on."""
    return is_number(value) and isinstance(value, int) and value >= 0


def is_step(value: Any) -> bool:
    """Return whether this is a step in its normal form."""
    try:
        return isinstance(value, str) and Step(value) == value
    except UsageError:
        return False


def fraction(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def positive(value: Any) -> bool:
    return is_count(value) and value > 0


def network_file(value: Any) -> bool:
    """Return whether this names a network's file: in the same directory or, for level 0, in the trunk's."""
    return isinstance(value, str) and bool(files.NAMED_MODEL.fullmatch(value))


def plugins(value: Any) -> bool:
    return isinstance(value, dict) and all(fits(plugin, {"sha256": str | None}) for plugin in value.values())


def measured(value: Any) -> bool:
    shape = {"source": str | None, "fields": dict, "children": int, "numbers": numbers}
    return isinstance(value, dict) and all(fits(entry, shape) for entry in value.values())


def numbers(value: Any) -> bool:
    """Return whether these are numbers by name; null stands for one that is not finite."""
    return isinstance(value, dict) and all(fits(entry, LOSS) for entry in value.values())


TYPES: Mapping[Any, Callable[[Any], bool]] = {int: is_count, float: is_number, Step: is_step}


def fits(value: Any, shape: Any) -> bool:
    """Return whether a value is of a shape.

    That is a type (``int``: a whole number from 0 on; ``float``: any finite number), a union of types, a list with the
    shape of its elements, a dictionary with the shapes of its entries (``name?`` may be missing), or a function.
    """
    if isinstance(shape, dict):
        return isinstance(value, dict) and wrong_entry(value, shape) is None
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(element, shape[0]) for element in value)
    if isinstance(shape, UnionType):
        return any(fits(value, one) for one in get_args(shape))
    if isinstance(shape, type) and shape not in TYPES:
        return isinstance(value, shape)
    return bool(TYPES.get(shape, shape)(value))


def wrong_entry(entries: Mapping[str, Any], shapes: Mapping[str, Any]) -> str | None:
    """Return the first entry that is missing or not of its shape."""
    for name, shape in shapes.items():
        key = name.removesuffix("?")
        if (key in entries and not fits(entries[key], shape)) or (key == name and key not in entries):
            return key
    return None


LOSS = float | None  # null stands for one that is not finite
BY_TREATMENT = {"raw": LOSS, "recalculated": LOSS}
BARRIERS = {"test": BY_TREATMENT, "train": BY_TREATMENT}
VALIDATION = {"validation_loss?": LOSS, "validation_accuracy?": fraction}
TRAINED = {
    "step": Step, "test_loss": LOSS, "test_accuracy": fraction, "train_loss": LOSS, "train_accuracy": fraction,
}  # fmt: skip
"""What ``done.json`` has in the directories of trunks, levels and children; branches may finish with anything."""

SHAPES: Mapping[str, Mapping[str, Any]] = {
    files.DESC: {"kind": str},
    files.ENVIRONMENT: {
        "threads": positive, "data_fingerprint": str, "plugins?": plugins, "commit?": str | None,
    },
    files.NETWORK: {
        "model": {"model": str}, "input_shape": [int], "class_names": [str],
        "normalization": {"mean": [float], "std": [float]},
    },
    files.METRICS: {
        "step": Step, "iteration": int, "test_loss": LOSS, "test_accuracy": fraction, "batch_loss?": LOSS,
        "batch_accuracy?": fraction, **VALIDATION, "diverged?": bool,
    },
    files.DONE: {
        **{f"{name}?": shape for name, shape in TRAINED.items()}, **VALIDATION, "level?": int, "density?": fraction,
        "model?": network_file, "early_stopping_iteration?": int, "early_stopping_test_accuracy?": fraction,
    },
    files.MASK_UPDATES: {
        "step": Step, "iteration": int, "density": fraction, "ever_active": fraction, "dropped": int, "grown": int,
        "multiply_adds": int,
    },
    files.SPARSITY_REPORT: {
        "density": fraction, "total": int, "kept": int, "has_path": bool, "empty_layers": [str],
        "layers": [{"name": str, "shape": [int], "total": int, "kept": int, "multiply_adds": int}],
        "multiply_adds": {"dense": int, "kept": int}, "training_multiply_adds": {"pretraining": int, "subnetwork": int},
    },
    files.CURVE: {
        "criterion": str, "k": Step | None, "limit": int,
        "points": [{"k": Step, "epoch": float, "value": LOSS, "threshold": LOSS}],
    },
    files.SEARCH: {
        "criterion": str, "k": Step | None,
        "multiply_adds": {"trunk": int, "children": int, "scores": int, "dense_training": int},
    },
    files.MEASUREMENTS: {"measured": measured},
    files.STATUS: {
        "state": str, "task": str, "since": str, "ended?": str, "reason?": str, "attempts?": int, "seconds?": float,
        "processor_seconds?": float, "peak_memory?": float,
    },
    files.INSTABILITY: {
        "k": Step, "strategy": str, "density": fraction, "threshold": float, "stable": bool, "learned": bool,
        "child_error": {"test": [fraction], "train": [fraction]}, "child_loss": {"test": [LOSS], "train": [LOSS]},
        "error_barrier": BARRIERS, "loss_barrier": BARRIERS, "error_barrier_spread": BARRIERS,
        "loss_barrier_spread": BARRIERS, "full_network_accuracy": fraction, "child_accuracy": fraction,
        "accuracy_gap": float, "analysis": dict, "examples": {"test": int, "train": int, "batchnorm": int},
        "children": [{"child": int, "lr": float, "weight_decay": float}],
        "pairs": [{
            "children": [int], "l2": LOSS, "angular": LOSS, "disagreement": fraction,
            "classification_difference": fraction, "error_barrier": BARRIERS, "loss_barrier": BARRIERS,
        }],
        "ensemble_accuracy?": fraction, "error_barrier_interval?": [float],
    },
}  # fmt: skip
"""By the file's name."""


def check(name: str, directory: str, entries: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` if the entries of a file, or of a line of it, are not what they must be.

    ``name`` is that of the file, ``directory`` that of the directory in which it lies.
    """
    name = name.removesuffix(files.COPY)
    if name == files.DONE and not entries:
        raise ValueError("it has no entries")
    required = TRAINED if name == files.DONE and files.is_of_training(directory) else {}
    if wrong := wrong_entry(entries, {**SHAPES.get(name, {}), **required}):
        raise ValueError(f"its entry {wrong!r} is {'missing' if wrong not in entries else repr(entries[wrong])[:50]}")
