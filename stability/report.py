"""Tables and figures of instability analyses: stored rows in, files out. Nothing is trained here."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from foundations.context import Context
from foundations.store import Store, atomic_write, digest
from stability.collect import Rows, TableRow
from stability.figures import figures, images

FORMS = ("svg", "png")


def report(rows: Rows, directory: Path, context: Context) -> None:
    """Writes tables and figures and says where they are."""
    drawn = write_report(rows, directory)
    context.reporter.say(f"{'Tables and figures' if drawn else 'Tables'}: {directory}")
    if not drawn:
        context.reporter.warn("No figures: matplotlib is not installed; pip install 'adsynflow[plot]'")


def write_report(rows: Rows, directory: Path) -> bool:
    """Writes the tables (CSV) and figures (SVG, PNG) of analyses.

    Files that would stay the same are not touched. Figures are not even drawn if they are there and so are just
    these tables; delete the directory to draw them all the same.

    Returns:
        Whether there are figures: matplotlib may be missing.
    """
    names = {f"barrier_by_{rows.index.name}": rows.analyses, "pairs": rows.pairs, "lines": rows.lines}
    tables = {directory / f"{name}.csv": as_csv(table) for name, table in (names | {"training": rows.training}).items()}
    makers = figures(rows)
    there = all((directory / f"{name}.{form}").exists() for name in makers for form in FORMS)
    if there and all(holds(path, content) for path, content in tables.items()):
        return True
    try:
        for name, make in makers.items():
            for form, content in images(make).items():
                put(directory / f"{name}.{form}", content)
        drawn = True
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        drawn = False
    for path, content in tables.items():  # last, since they vouch for the figures
        put(path, content)
    return drawn


def directory_for(stores: Iterable[Store], root: Path, part: str = "") -> Path:
    """``report/`` of a single run; ``<root>/report/stability_<hash>`` for several, the same for the same ones.

    Args:
        stores: the runs.
        root: where all runs are.
        part: a directory in the ``report/`` of a run that is not of stability alone.
    """
    paths = sorted({store.path for store in stores})
    if len(paths) == 1:
        return paths[0] / "report" / part
    names = "\n".join(f"{path.parent.name}/{path.name}" for path in paths)
    return root / "report" / f"stability_{digest(names.encode())[:12]}"


def as_csv(rows: Sequence[TableRow]) -> bytes:
    """The rows under the names of all their entries."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def holds(path: Path, content: bytes) -> bool:
    """Whether a file is there with just this content."""
    return path.exists() and path.read_bytes() == content


def put(path: Path, content: bytes) -> None:
    """Writes a file unless it has this content already."""
    if not holds(path, content):
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
