"""Published numbers that are computed again: ``check <name>``."""

from experiments.checks import cifar
from experiments.checks import mnist as lenet
from experiments.checks import mnist as mnist1d
from experiments.checks.check import Check, Claim, Outcome, Protocol, Run, checks, outcomes, planned, with_dataset

__all__ = ["Check", "Claim", "Outcome", "Protocol", "Run", "checks", "cifar", "lenet", "mnist1d", "outcomes", "planned",
           "with_dataset"]  # fmt: skip
