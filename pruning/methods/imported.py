"""The mask that came with an imported network."""

from dataclasses import dataclass

from pruning.methods.magnitude import Magnitude
from pruning.strategy import strategies


@strategies.register("imported")
@dataclass(frozen=True, kw_only=True)
class ImportedMask(Magnitude):
    """Keeps what the mask of the --imported network keeps, whatever the scores.

    A lottery run or an analysis takes the mask as it is. ``prune`` by itself, which knows of no import, keeps the
    largest weights: those that a mask has set to zero go first.
    """
