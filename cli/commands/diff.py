"""``diff``: two runs side by side."""

import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from cli import FAILED
from cli.reading import Given, command
from cli.terminal import print_table
from experiments.runs.diff import ELSEWHERE, SECTIONS, RunDifference, compare
from experiments.runs.stored import StoredRun
from experiments.runs.stored import open as open_run
from foundations import files
from foundations.formats import finite
from foundations.hparams import Hparams, hp

LONGEST = 60


@dataclass(frozen=True, kw_only=True)
class DiffOptions(Hparams):
    """How the comparison is printed."""

    json: bool = hp(False)
    """Print everything, tensor by tensor, as JSON."""


@command(DiffOptions, "RUN RUN", 2)
def run(given: Given[DiffOptions]) -> int:
    """Compare two runs, <root>/<kind>_<hash>/replicate_<n> or its parent: hyperparameters, environments, results,
    weights and masks. They are equal if they have the same hyperparameters and data, and equal results and weights, on
    whatever machine.
    """
    left, right = map(find, given.operands)
    comparison = compare(left, right)
    if given.options.json:
        where = {"left": str(left.path), "right": str(right.path)}
        print(json.dumps(finite({**where, **comparison.entries()}), indent=2))
    else:
        show(comparison)
    return 0 if comparison.equal else FAILED


def find(text: str) -> StoredRun:
    """Return the run in a directory, or the only replicate in it."""
    path = Path(text)
    inside = sorted(path.glob(f"{files.REPLICATE}*")) if not path.name.startswith(files.REPLICATE) else []
    runs = [replicate for replicate in inside if not files.is_aside(replicate.name)]
    return open_run(runs[0] if len(runs) == 1 else path)


def show(comparison: RunDifference) -> None:
    by_section = sorted(comparison.differences, key=lambda difference: SECTIONS.index(difference.section))
    for section, group in groupby(by_section, key=lambda difference: difference.section):
        note = " (runs may be equal all the same; their bits can depend on it)" if section in ELSEWHERE else ""
        print(f"{section}{note}")
        print_table(["  name", "left", "right"], [[f"  {one.name}", text(one.left), text(one.right)] for one in group])
        print()
    if comparison.distances:
        print("weights: how far apart")
        print_table(["  file", "tensor", "max abs", "relative l2"], list(map(list, distances(comparison))))
        print()
    if comparison.overlaps:
        print("masks: weights that are kept")
        print_table(
            ["  file", "left", "right", "both", "both of either"],
            [[f"  {one.file}", str(one.left), str(one.right), str(one.both), f"{one.jaccard:.2%}"]
             for one in comparison.overlaps],
        )  # fmt: skip
        print()
    if comparison.equal_files:
        print(f"Files of weights and masks that are the same in both: {len(comparison.equal_files)}")
    print("The runs are equal." if comparison.equal else "The runs differ.")


def distances(comparison: RunDifference) -> list[tuple[str, str, str, str]]:
    """Return a line for each file's most distant tensor, and one for each tensor of a directory's last file."""
    lines = []
    by_file = {name: list(group) for name, group in groupby(comparison.distances, key=lambda one: one.file)}
    last = {Path(name).parent: name for name in sorted(by_file, key=lambda name: (len(name), name))}
    for name, group in by_file.items():
        shown = group if name == last[Path(name).parent] else [max(group, key=lambda one: one.relative_l2)]
        for one in shown:
            more = f" and {len(group) - 1} more" if len(shown) < len(group) else ""
            lines.append((f"  {name}", f"{one.tensor}{more}", f"{one.max_abs:.3g}", f"{one.relative_l2:.3g}"))
    return lines


def text(value: Any) -> str:
    shown = "-" if value is None else value if isinstance(value, str) else json.dumps(value)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
