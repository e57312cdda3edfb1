"""Branches: a level trained again with one thing changed, to see what it was that mattered.

Importing the package registers those that come with the framework, each a file of its own.
"""

from lottery.branch import (  # noqa: F401  they register themselves
    invert_scores,
    randomly_prune,
    randomly_reinitialize,
    retrain,
    rewind,
    shuffle,
)
from lottery.branch.registry import Branch, branches
from lottery.branch.runner import BranchRunner
from lottery.level import Ticket

__all__ = ["Branch", "BranchRunner", "Ticket", "branches"]
