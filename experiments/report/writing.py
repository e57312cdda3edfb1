"""Tables and figures into a directory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.report.palette import FORMS, images
from foundations import formats
from foundations.disk import where_writable
from foundations.reporting import Reporter
from foundations.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Columns = Sequence[str]
CSV = tuple[Columns, Iterable[Sequence[Any]]]
Figures = Mapping[str, Callable[[], "Figure"]]


def write_files(here: Store, tables: Mapping[str, CSV], figures: Figures, reporter: Reporter) -> None:
    """Writes tables (CSV) and figures (SVG, PNG), by name, and says where.

    Files that would stay the same are not touched. Figures are not even drawn if they are there and so are just
    these tables; delete the directory to draw them all the same. That there is no matplotlib, or that the directory is
    read-only, is said, and no error.
    """
    contents = {f"{name}.csv": formats.encode_table(here / f"{name}.csv", *table) for name, table in tables.items()}
    there = all(here.has(f"{name}.{form}") for name in figures for form in FORMS)
    drawn = there and all(here.holds(name, content) for name, content in contents.items())
    with where_writable(lambda error: reporter.warn(f"No tables and figures are written: {error}")):
        if not drawn:
            with here.lock(Reporter()):
                drawn = draw(here, figures)
                for name, content in contents.items():  # last, since they vouch for the figures
                    here.write_bytes(name, content)
        reporter.say(f"{'Tables and figures' if drawn else 'Tables'}: {here.path}")
        if not drawn:
            reporter.warn("No figures: matplotlib is not installed; pip install 'adsynflow[plot]'")


def draw(here: Store, figures: Figures) -> bool:
    """Writes figures; False without any if matplotlib is not installed."""
    try:
        for name, make in figures.items():
            for form, content in images(make).items():
                here.write_bytes(f"{name}.{form}", content)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return False
    return True


def as_table(rows: Sequence[Mapping[str, Any]]) -> CSV:
    """Rows under the names of all their entries."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, [[row.get(name) for name in names] for row in rows]
