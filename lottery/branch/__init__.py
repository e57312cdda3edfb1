"""Branches: a level trained again with one thing changed, to see what it was that mattered.

Importing the package registers those that come with the framework.
"""

from lottery.branch import ablations, retraining  # noqa: F401  they register themselves
from lottery.branch.base import Branch, LevelBranch, branches
from lottery.level import Ticket

__all__ = ["Branch", "LevelBranch", "Ticket", "branches"]
