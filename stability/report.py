"""Tables and figures of instability analyses: stored rows in, files out. Nothing is trained here."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from foundations.store import Store, atomic_write, digest
from stability.collect import TableRow, collect
from stability.figures import draw, rendered

TABLES = {"barrier_by_k": "analyses", "pairs": "pairs", "lines": "lines", "training": "training"}


def write_report(stores: Iterable[Store], directory: Path) -> bool:
    """Writes the tables (CSV) and figures (SVG, PNG) of runs; files that would stay the same are not touched.

    Args:
        stores: directories of runs, ``stability_<hash>/replicate_<n>``; all their finished analyses are shown.
        directory: where to.

    Returns:
        Whether figures were drawn: matplotlib may be missing.
    """
    rows = collect(stores)
    for name, table in TABLES.items():
        put(directory / f"{name}.csv", as_csv(getattr(rows, table)))
    try:
        for name, figure in draw(rows):
            for form in ("svg", "png"):
                put(directory / f"{name}.{form}", rendered(figure, form))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return False
    return True


def directory_for(stores: Iterable[Store], root: Path) -> Path:
    """``report/`` of a single run; ``<root>/report/stability_<hash>`` for several, the same for the same ones."""
    paths = sorted({store.path for store in stores})
    if len(paths) == 1:
        return paths[0] / "report"
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


def put(path: Path, content: bytes) -> None:
    """Writes a file unless it has this content already."""
    if path.exists() and path.read_bytes() == content:
        return
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
