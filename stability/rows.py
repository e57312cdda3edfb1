"""interpolation.csv: error and loss along the lines between the children."""

import csv
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

from foundations.errors import UsageError
from foundations.store import Store, atomic_write

FILE = "interpolation.csv"
SPLITS = ("test", "train")
BATCHNORM = ("raw", "recalculated")


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
    """raw: the statistics are interpolated too; recalculated: computed from training images at this alpha."""
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
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([item.name for item in fields(Row)])
    for row in sorted(rows, key=lambda row: row.key):
        writer.writerow(["" if value is None else value for value in astuple(row)])
    with atomic_write(store / FILE) as path:
        path.write_text(text.getvalue())


def read_rows(store: Store) -> list[Row]:
    """The rows of the file; none if it is absent.

    Raises:
        UsageError: the file is damaged.
    """
    if not store.has(FILE):
        return []
    try:
        with (store / FILE).open(newline="") as file:
            return [from_text(entries) for entries in csv.DictReader(file, strict=True)]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UsageError(
            f"{store / FILE} is damaged ({error}).\n"
            "Delete this file and run the same command again: what it held is computed anew."
        ) from error


def from_text(entries: dict[str, str]) -> Row:
    """The row that a line of the file holds."""

    def number(name: str) -> float | None:
        return float(entries[name]) if entries[name] else None

    return Row(
        int(entries["first_child"]), int(entries["second_child"]), float(entries["alpha"]), entries["split"],
        entries["batchnorm"], int(entries["examples"]), int(entries["batchnorm_examples"]),
        number("error"), number("loss"),
    )  # fmt: skip
