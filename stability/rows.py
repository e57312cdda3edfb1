"""interpolation.csv: error and loss along the lines between the children; and tables of dataclasses at large."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, astuple, dataclass, fields, replace
from typing import Any, Self, TypeVar

from foundations import files
from foundations.store import Store

SPLITS = ("test", "train")
"""Those that always exist."""
BATCHNORM = ("raw", "recalculated")
ALIGNED = ("aligned", "aligned_recalculated")
"""The same on the line to the second child with its channels in another order, see ``stability.alignment``."""
TREATMENTS = (*BATCHNORM, *ALIGNED)


T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """Where and on what was measured, and what was found: the last two fields, ``error`` and ``loss``."""

    @property
    def key(self) -> tuple[Any, ...]:
        return astuple(self)[:-2]

    def with_result(self, *, accuracy: float, loss: float) -> Self:
        return replace(self, error=1 - accuracy, loss=loss if loss - loss == 0 else None)  # type: ignore[call-arg]


@dataclass(frozen=True)
class LinePoint(Result):
    """A point on a line, on one split, with one treatment of BatchNorm."""

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


def write_rows(store: Store, rows: Iterable[LinePoint]) -> None:
    """Write the whole file, sorted, so that its bytes do not depend on the order of computation."""
    write_table(store, files.INTERPOLATION, LinePoint, sorted(rows, key=lambda row: row.key))


def read_rows(store: Store) -> list[LinePoint]:
    """Return the rows of the file; none if it is absent.

    Raises:
        UsageError: the file is damaged, or a newer program wrote it.
    """
    if not store.has(files.INTERPOLATION):
        return []
    with store.intact(files.INTERPOLATION):
        rows = read_table(store, files.INTERPOLATION, LinePoint)
        if not rows:
            raise ValueError("it has no rows")
        return rows


def renamed(rows: Iterable[LinePoint], aligned: Sequence[str]) -> list[LinePoint]:
    """Return the rows with ``ALIGNED`` in place of the names that they have by how networks were aligned.

    Rows of networks that were aligned in other ways are left out.
    """
    names = {**dict(zip(BATCHNORM, BATCHNORM, strict=True)), **dict(zip(aligned, ALIGNED, strict=True))}
    return [replace(row, batchnorm=names[row.batchnorm]) for row in rows if row.batchnorm in names]


# Tables of dataclasses -----------------------------------------------------------------------------------------------


def write_table(store: Store, name: str, cls: type[T], rows: Iterable[T]) -> None:
    """Write a table with a column for each field of ``cls``."""
    store.write_table(name, [item.name for item in fields(cls)], map(astuple, rows))  # type: ignore[arg-type]


def read_table(store: Store, name: str, cls: type[T]) -> list[T]:
    """Invert :func:`write_table`; return nothing if the file is absent.

    Raises:
        UsageError: the file is damaged, or a newer program wrote it.
    """
    with store.intact(name):
        return [from_text(cls, entries) for entries in store.read_table(name)]


def from_text(cls: type[T], entries: Mapping[str, str]) -> T:
    """Return what a line of the file holds; a column that an older file lacks has its field's default.

    Raises:
        KeyError: a column is missing whose field has no default.
        ValueError: a field is not of its type.
    """
    known = {
        item.name: PARSERS[item.type](entries[item.name])
        for item in fields(cls)  # type: ignore[arg-type]
        if item.name in entries or item.default is MISSING
    }
    return cls(**known)


def optional_number(text: str) -> float | None:
    return float(text) if text else None


PARSERS: Mapping[Any, Callable[[str], Any]] = {int: int, float: float, str: str, float | None: optional_number}
"""From the text of a field to its value, by the field's type."""
