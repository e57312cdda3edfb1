"""``lottery``: train to k, prune, train the subnetwork on."""

import sys
from collections.abc import Sequence

from cli import FAILED
from cli.command_line import read_command
from cli.running import run_experiments, show_criteria, show_lottery, show_stability
from experiments.define.experiment import Experiment
from experiments.define.grid import Grid


def run(argv: Sequence[str]) -> int:
    line = read_command("lottery", argv)
    if line is None:
        return 0
    without_k: list[str] = []
    pruned: list[Experiment] = []

    def show(grid: Grid) -> None:
        for search in grid.searches:
            show_stability(search.analyses, grid.session.context, report=bool(line.flags.get("report", True)))
            without_k.extend(() if search.found else [search.criterion.name])
        pruned.extend(grid.experiments)
        show_lottery(pruned, grid.session.context)
        if grid.searches:
            show_criteria(grid)

    code = run_experiments(line, show)
    if not without_k:
        return code
    what = "Not everything was pruned" if pruned else "Nothing was pruned"
    print(f"{what}: no k was found by {', '.join(dict.fromkeys(without_k))}.", file=sys.stderr)
    return FAILED
