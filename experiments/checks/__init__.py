"""Published numbers that are computed again: ``check <name>``."""

from experiments.checks import cifar, lenet, mnist1d
from experiments.checks.registry import Check, Claim, Protocol, Run, checks
from experiments.checks.running import Outcome, outcomes, planned, with_dataset

__all__ = ["Check", "Claim", "Outcome", "Protocol", "Run", "checks", "cifar", "lenet", "mnist1d", "outcomes", "planned",
           "with_dataset"]  # fmt: skip
