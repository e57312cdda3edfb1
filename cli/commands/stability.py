"""``stability``: from which step on is a network stable to SGD noise?"""

from collections.abc import Sequence

from cli import FAILED
from cli.command_line import read_command
from cli.running import run_experiments, show_stability
from experiments.define.grid import Grid


def run(argv: Sequence[str]) -> int:
    line = read_command("stability", argv)
    if line is None:
        return 0
    without_k: list[bool] = []

    def show(grid: Grid) -> None:
        without_k.extend(not search.found for search in grid.searches)
        if "child" not in line.flags:
            show_stability(grid.experiments, grid.session.context, report=bool(line.flags.get("report", True)))

    code = run_experiments(line, show)
    return code or FAILED * any(without_k)
