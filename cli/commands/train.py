"""``train``: the full network."""

from collections.abc import Sequence

from cli.command_line import read_command
from cli.running import print_measured, print_rows, run_experiments
from experiments.define.grid import Grid
from experiments.report.lottery import measured_trainings, training_table


def run(argv: Sequence[str]) -> int:
    line = read_command("train", argv)
    return 0 if line is None else run_experiments(line, show)


def show(grid: Grid) -> None:
    rows = [row for one in grid for row in one.rows()]
    print_rows(training_table(rows))
    print_measured(measured_trainings(rows))
