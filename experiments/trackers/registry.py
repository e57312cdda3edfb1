"""What a tracker is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from foundations import files
from foundations.registry import Registry


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """A training, or an analysis, whose metrics are tracked.

    Args:
        root: the directory of all runs.
        name: its path below the root: ``lottery_<hash>/replicate_1/level_1``.
        hyperparameters: by the names of their flags; with those of its branch, and the replicate.
    """

    root: Path
    name: str
    hyperparameters: Mapping[str, Any]

    def directory(self, tracker: str) -> Path:
        """Where a tracker that writes files may write them."""
        return self.root / files.TRACKED / tracker / self.name


class Tracker:
    """Writes down one run. Each override does what the tracker can do; what it cannot, it leaves out.

    One is made when a run gets its first row of metrics, or is gone on with. It is given all rows that there are, those
    of earlier processes first, so that it may begin anew with what it shows.
    """

    package: ClassVar[str] = ""
    """What must be installed, by the name it is imported by."""
    extra: ClassVar[str] = ""
    """The extra of this program that installs it."""

    def __init__(self, run: TrackedRun) -> None:
        self.run = run

    def row(self, row: Mapping[str, Any]) -> None:
        """A row of ``metrics.jsonl``: step, iteration, and losses and accuracies, which are numbers or None."""

    def finish(self, figures: Mapping[str, float]) -> None:
        """The final figures by name, those of nested entries as ``error_barrier/test/raw``."""

    def close(self) -> None:
        """Nothing more comes from this process."""


trackers: Registry[type[Tracker]] = Registry("tracker", "track")
