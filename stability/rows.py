"""interpolation.csv: error and loss along the lines between the children."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, astuple, dataclass, fields, replace
from typing import Any

from foundations import files
from foundations.store import Store

SPLITS = ("test", "train")
"""Those that always exist."""
BATCHNORM = ("raw", "recalculated")
ALIGNED = ("aligned", "aligned_recalculated")
"""The same on the line to the second child with its channels in another order, see ``stability.alignment``."""
TREATMENTS = (*BATCHNORM, *ALIGNED)


@dataclass(frozen=True)
class Row:
    """One point on one line, on one split, with one treatment of BatchNorm."""

    first_child: int
    """alpha = 0."""
    second_child: int
    """alpha = 1."""
    alpha: float
    split: str
    batchnorm: str
    """The treatment. raw: the statistics are interpolated too; recalculated: computed from training images at this
    alpha; aligned, aligned_recalculated: the same once the second child's channels are permuted."""
    examples: int
    """Images measured on."""
    batchnorm_examples: int
    """Training images that the statistics were recalculated from; 0 for raw."""
    error: float | None = None
    """Fraction of images classified wrongly."""
    loss: float | None = None
    """Mean cross entropy; None if it is not finite."""

    @property
    def key(self) -> tuple[Any, ...]:
        """All but the result."""
        return astuple(self)[:7]

    def with_result(self, *, accuracy: float, loss: float) -> "Row":
        """This row with what was measured."""
        return replace(self, error=1 - accuracy, loss=loss if loss - loss == 0 else None)


def write_rows(store: Store, rows: Iterable[Row]) -> None:
    """Writes the whole file, sorted, so that its bytes do not depend on the order of computation."""
    columns = [item.name for item in fields(Row)]
    store.write_table(files.INTERPOLATION, columns, map(astuple, sorted(rows, key=lambda row: row.key)))


def read_rows(store: Store) -> list[Row]:
    """The rows of the file; none if it is absent.

    Raises:
        UsageError: the file is damaged, or a newer program wrote it.
    """
    if not store.has(files.INTERPOLATION):
        return []
    with store.intact(files.INTERPOLATION):
        rows = [from_text(entries) for entries in store.read_table(files.INTERPOLATION)]
        if not rows:
            raise ValueError("it has no rows")
        return rows


def from_text(entries: Mapping[str, str]) -> Row:
    """The row that a line of the file holds; a column that an older file lacks has its field's default.

    Raises:
        KeyError: a column is missing whose field has no default.
        ValueError: a field is not of its type.
    """
    known = {
        item.name: PARSERS[item.type](entries[item.name])
        for item in fields(Row)
        if item.name in entries or item.default is MISSING
    }
    return Row(**known)


def optional_number(text: str) -> float | None:
    """A number; None for an empty field."""
    return float(text) if text else None


PARSERS: Mapping[Any, Callable[[str], Any]] = {int: int, float: float, str: str, float | None: optional_number}
"""From the text of a field to its value, by the field's type."""
