"""What a section of the page is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments.report.tables import Table
from experiments.report.writing import CSV

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class PageFigure:
    """A figure with the numbers that it shows."""

    name: str
    """Of its files."""
    caption: str
    """What is drawn, what bars and bands are, and what n is."""
    make: "Callable[[], Figure]"
    data: CSV


@dataclass(frozen=True)
class PageTable:
    """A table that can be sorted and filtered."""

    name: str
    """Of its files."""
    caption: str
    table: Table


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it."""

    name: str
    title: str
    sentences: Sequence[str] = ()
    figures: Sequence[PageFigure] = ()
    tables: Sequence[PageTable] = ()
    commands: Sequence[str] = ()
    """Lines to copy."""
    details: Sequence[PageTable] = field(default=())
    """Tables that are folded up."""

    @property
    def empty(self) -> bool:
        """Whether nothing stands below it."""
        return not (self.sentences or self.figures or self.tables or self.commands or self.details)
