"""``lottery_branch``: levels of a lottery run, trained again with one thing changed."""

from collections.abc import Sequence

from cli import program
from cli.command_line import known_first, read_command
from cli.running import print_measured, print_rows, run_experiments
from cli.terminal import listed
from experiments.define.grid import Grid
from experiments.define.lottery import LotteryBranch
from experiments.plugins import load_plugins
from experiments.report.lottery import branch_table, measurements_table
from experiments.report.replicates import summarize, varied_names
from experiments.report.stability import report_branch
from experiments.run.progress import make_reporter
from lottery.branch import branches


def run(argv: Sequence[str]) -> int:
    if not argv or argv[0].startswith("-"):
        load_plugins(known_first(argv)[0], make_reporter(quiet=False))  # which may bring branches
        print(overview())
        return 0
    name, *flags = argv
    line = read_command("lottery_branch", flags, name)
    return 0 if line is None else run_experiments(line, show, name)


def show(grid: Grid) -> None:
    runs = [one for one in grid if isinstance(one, LotteryBranch)]
    branch = runs[0].branch
    rows = [row for one in runs for row in (*one.rows(), *one.missing())]
    if any(branch.outcome in row for row in rows):
        print_rows(branch_table(rows, branch.name, branch.outcome))
        print_measured(measurements_table(summarize(rows), varied_names(rows)))
        report_branch([one.store for one in runs], branch, grid.session.context)
    elif any(one.rows() for one in runs):
        grid.session.context.reporter.warn(f"{branch.name}: its results have no {branch.outcome!r}, its outcome")


def overview() -> str:
    lines = listed({name: branches.get(name).summary() for name in branches})
    usage = f"usage: {program()} lottery_branch <branch> --flag=value ..."
    return f"{usage}\n\n{lines}\n\nlottery_branch <branch> --help lists its flags."
