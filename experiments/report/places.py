"""Where reports lie."""

import os
from collections.abc import Iterable
from pathlib import Path

from foundations import files
from foundations.formats import digest


def directory_for(kind: str, runs: Iterable[Path], root: Path, alone: str = "") -> Path:
    """``<root>/report/<kind>_<hash>``: the same runs compared again have the same place, in whatever order.

    Args:
        kind: ``lottery`` or ``stability``.
        runs: the directories that are compared.
        root: where all runs are; it may be moved.
        alone: where, within its own directory, a single run has its report; without that it lies like several.
    """
    paths = set(runs)
    if alone and len(paths) == 1:
        return paths.pop() / alone
    names = sorted(os.path.relpath(path, root) for path in paths)
    return root / files.REPORT / f"{kind}_{digest(chr(10).join(names).encode())[:12]}"
