"""What the JSON of a run holds at least, so that whoever reads it can rely on that.

Checked once, where a file is decoded: values that are readable but of another shape (``{}``, ``[]``, null, numbers that
are huge or none) are damage like any other. Entries that are not named here are the writer's own affair.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from foundations import files
from foundations.errors import UsageError
from foundations.steps import Step

Test = Callable[[Any], bool]

HUGE = 2**63
"""No whole number comes near it. A loss that diverges may."""


def is_number(value: Any) -> bool:
    """Return a finite number; whole ones of a possible size."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and -HUGE < value < HUGE


def is_loss(value: Any) -> bool:
    """Return a loss; null stands for one that is not finite."""
    return value is None or is_number(value)


def is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def is_count(value: Any) -> bool:
    """Return a whole number from 0 on."""
    return is_number(value) and isinstance(value, int) and value >= 0


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_step(value: Any) -> bool:
    """Return a step in its normal form."""
    try:
        return isinstance(value, str) and Step(value) == value
    except UsageError:
        return False


def is_network(value: Any) -> bool:
    """Return the file of a network: in the same directory or, for level 0, in the trunk's."""
    return isinstance(value, str) and bool(files.NAMED_MODEL.fullmatch(value))


def is_list_of(test: Test) -> Test:
    """Of lists whose entries pass a test."""
    return lambda value: isinstance(value, list) and all(map(test, value))


def has(**tests: Test) -> Test:
    """Of objects with entries that pass tests, whatever else they have."""
    return lambda value: isinstance(value, dict) and not wrong_entry(value, tests)


ACCURACIES: Mapping[str, Test] = {"test_loss": is_loss, "test_accuracy": is_share}
VALIDATION: Mapping[str, Test] = {"validation_loss": is_loss, "validation_accuracy": is_share}
LAYER = has(name=is_text, shape=is_list_of(is_count), total=is_count, kept=is_count, multiply_adds=is_count)

BY_TREATMENT = has(raw=is_loss, recalculated=is_loss)
BARRIERS = has(test=BY_TREATMENT, train=BY_TREATMENT)

REQUIRED: Mapping[str, Mapping[str, Test]] = {
    files.DESC: {"kind": is_text},
    files.ENVIRONMENT: {"threads": lambda value: is_count(value) and value > 0, "data_fingerprint": is_text},
    files.NETWORK: {
        "model": has(model=is_text), "input_shape": is_list_of(is_count), "class_names": is_list_of(is_text),
        "normalization": has(mean=is_list_of(is_number), std=is_list_of(is_number)),
    },
    files.METRICS: {"step": is_step, "iteration": is_count, **ACCURACIES},
    files.MASK_UPDATES: {
        "step": is_step, "iteration": is_count, "density": is_share, "ever_active": is_share, "dropped": is_count,
        "grown": is_count, "multiply_adds": is_count,
    },
    files.SPARSITY_REPORT: {
        "density": is_share, "total": is_count, "kept": is_count, "has_path": is_flag,
        "empty_layers": is_list_of(is_text), "layers": is_list_of(LAYER),
        "multiply_adds": has(dense=is_count, kept=is_count),
        "training_multiply_adds": has(pretraining=is_count, subnetwork=is_count),
    },
    files.CURVE: {
        "criterion": is_text, "k": lambda value: value is None or is_step(value), "limit": is_count,
        "points": is_list_of(has(k=is_step, epoch=is_number, value=is_loss, threshold=is_loss)),
    },
    files.SEARCH: {
        "criterion": is_text, "k": lambda value: value is None or is_step(value),
        "multiply_adds": has(trunk=is_count, children=is_count, scores=is_count, dense_training=is_count),
    },
    files.STATUS: {"state": is_text, "task": is_text, "since": is_text},
    files.INSTABILITY: {
        "k": is_step, "strategy": is_text, "density": is_share, "threshold": is_number, "stable": is_flag,
        "learned": is_flag, "child_error": has(test=is_list_of(is_share), train=is_list_of(is_share)),
        "child_loss": has(test=is_list_of(is_loss), train=is_list_of(is_loss)),
        "error_barrier": BARRIERS, "loss_barrier": BARRIERS, "error_barrier_spread": BARRIERS,
        "loss_barrier_spread": BARRIERS, "full_network_accuracy": is_share, "child_accuracy": is_share,
        "accuracy_gap": is_number, "analysis": has(),
        "examples": has(test=is_count, train=is_count, batchnorm=is_count),
        "children": is_list_of(has(child=is_count, lr=is_number, weight_decay=is_number)),
        "pairs": is_list_of(has(children=is_list_of(is_count), l2=is_loss, angular=is_loss, disagreement=is_share,
                                classification_difference=is_share, error_barrier=BARRIERS, loss_barrier=BARRIERS)),
    },
}  # fmt: skip
"""By the file's name. Results are the business of whoever finishes: see :data:`KNOWN`."""

KNOWN: Mapping[str, Mapping[str, Test]] = {
    files.DONE: {
        **ACCURACIES, **VALIDATION, "train_loss": is_loss, "train_accuracy": is_share, "step": is_step,
        "level": is_count, "density": is_share, "model": is_network, "early_stopping_iteration": is_count,
        "early_stopping_test_accuracy": is_share,
    },
    files.INSTABILITY: {"ensemble_accuracy": is_share, "error_barrier_interval": is_list_of(is_number)},
    files.METRICS: {"batch_loss": is_loss, "batch_accuracy": is_share, **VALIDATION, "diverged": is_flag},
    files.ENVIRONMENT: {
        "plugins": lambda value: isinstance(value, dict) and all(map(has(sha256=is_optional_text), value.values())),
        "commit": lambda value: is_optional_text(value),
    },
}  # fmt: skip
"""Entries that may be missing."""

OF_TRAININGS: Mapping[str, Test] = {
    name: KNOWN[files.DONE][name] for name in ("step", "test_loss", "test_accuracy", "train_loss", "train_accuracy")
}
"""What ``done.json`` has in the directories of trunks, levels and children; branches may finish with anything."""


def is_optional_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def check(name: str, directory: str, entries: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` if the entries of a JSON file, or of a line of one, are not what they must be.

    Args:
        name: of the file.
        directory: the name of that in which it lies.
        entries: its content.
    """
    name = name.removesuffix(files.COPY)
    required = REQUIRED.get(name, {})
    if name == files.DONE and files.is_of_training(directory):
        required = OF_TRAININGS
    known = {key: test for key, test in KNOWN.get(name, {}).items() if key in entries}
    if name == files.DONE and not entries:
        raise ValueError("it has no entries")
    if wrong := wrong_entry(entries, {**known, **required}):
        raise ValueError(f"its entry {wrong!r} is {'missing' if wrong not in entries else repr(entries[wrong])[:50]}")


def wrong_entry(entries: Mapping[str, Any], tests: Mapping[str, Test]) -> str | None:
    """Return the first entry that is missing or does not pass its test."""
    return next((name for name, test in tests.items() if name not in entries or not test(entries[name])), None)
