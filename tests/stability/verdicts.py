"""Verdicts by hand."""

from typing import Any

from foundations.steps import Step
from stability import AnalysisHparams
from stability.verdict import Barriers, Child, Pair, Treatments, Verdict


def barriers(test: float | None) -> Barriers:
    """One number on the test set, another on the training set."""
    return Barriers(test=Treatments(test, test), train=Treatments(0.0, 0.0))


def make_verdict(**changes: Any) -> Verdict:
    """Two children at one epoch with a barrier of 0.01 between them."""
    children = [
        Child(child=number, lr=0.1, weight_decay=0.0, l2_from_start=1.0, angular_from_start=None) for number in (1, 2)
    ]
    pair = Pair(
        children=(1, 2), l2=5.0, angular=0.5, disagreement=0.25, classification_difference=0.5,
        layer_l2={"fc.weight": 5.0}, error_barrier=barriers(0.01), loss_barrier=barriers(None),
    )  # fmt: skip
    entries: dict[str, Any] = {
        "k": Step("1ep"), "strategy": "snip", "density": 0.1, "threshold": 0.02, "stable": True, "learned": True,
        "child_error": {"test": [0.1, 0.2], "train": [0.0, 0.0]},
        "child_loss": {"test": [1.0, None], "train": [1.0, 1.0]},
        "error_barrier": barriers(0.01), "loss_barrier": barriers(None),
        "error_barrier_deviation": barriers(None), "loss_barrier_deviation": barriers(None),
        "full_network_accuracy": 0.9, "child_accuracy": 0.85, "accuracy_gap": 0.05, "analysis": AnalysisHparams(),
        "examples": {"test": 10, "train": 10, "batchnorm": 0}, "children": children, "pairs": [pair],
    }  # fmt: skip
    return Verdict(**{**entries, **changes})
