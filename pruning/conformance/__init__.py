"""Does a strategy keep the laws that pruning relies on? For those who write one: ``check_strategy(MyMethod())``."""

from pruning.conformance.check import check_strategy
from pruning.conformance.laws import LAWS

__all__ = ["LAWS", "check_strategy"]
