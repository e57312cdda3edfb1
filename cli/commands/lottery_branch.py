"""``lottery_branch``: levels of a lottery run, trained again with one thing changed."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cli.commands import lottery
from cli.commands.lottery import Experiment, experiments
from cli.flags import Section
from cli.results import run_each, show_branch
from cli.running import DataCache, parse_runs
from cli.selection import Selection, choose
from cli.single_runs import complete_in_processes
from cli.terminal import make_reporter
from experiments.report.branches import report_branch
from foundations.store import Store
from lottery.branch import Branch, BranchRunner, branches

USAGE = "python main.py lottery_branch <branch> --flag=value ..."


def run(argv: Sequence[str]) -> int:
    """Runs a branch of each experiment asked for and prints one table; without a branch, lists them."""
    if not argv or argv[0].startswith("-"):
        choose(argv, make_reporter(quiet=False))  # imports plug-ins, which may bring branches
        print(overview())
        return 0
    name, *flags = argv

    def sections(selection: Selection) -> list[Section]:
        return [selection.method_section("branch", branches.get(name)), *lottery.sections(selection)]

    summary = "Trains levels of a lottery run again with one thing changed; the levels come first if they are missing."
    parsed = parse_runs(f"lottery_branch {name}", summary, flags, sections, prunes=True)
    asked_for = experiments(parsed, ["lottery_branch", name], flags)
    if not asked_for:
        return 0
    branch: Branch = parsed[0].build(branches.get(name))
    if any(experiment.options.display_output_location for experiment in asked_for):
        for one in asked_for:
            print(*(one.store / f"level_{level}" / branch.key for level in one.lottery.levels), sep="\n")
        return 0
    cache = DataCache()
    runners = [BranchRunner(one.runner(cache), branch) for one in asked_for]
    singles = [
        one.single(runner.lottery, runner.run, partial(done, runner))
        for one, runner in zip(asked_for, runners, strict=True)
    ]
    finishes = complete_in_processes(singles, asked_for[0].options, asked_for[0].context.reporter)
    work = zip(asked_for, runners, finishes, strict=True)

    def show(rows: list[dict[str, Any]]) -> None:
        show_branch(rows, name, branch.outcome)
        report_branch([one.store for one in asked_for], branch, asked_for[0].context)

    run_each([(one.label, partial(results, one, runner, finish)) for one, runner, finish in work], show)
    return 0


def done(runner: BranchRunner, store: Store) -> bool:
    """Whether all levels and their branches are trained."""
    return runner.lottery.done(store) and all(runner.branch.done(runner.here(level)) for level in runner.levels(store))


def results(experiment: Experiment, runner: BranchRunner, finish: Callable[[], None]) -> list[dict[str, Any]]:
    """Brings an experiment's branch to its end; a row for each level, with the level's own accuracy beside."""
    finish()
    store = experiment.store
    return [
        {
            **experiment.row(runner.here(level).result(), runner.here(level)),
            "level_accuracy": level.here.result()["test_accuracy"],
        }
        for level in runner.levels(store)
    ]


def overview() -> str:
    """The branches with a line each."""
    width = max(map(len, branches))
    lines = [f"  {name:<{width}}  {branches.get(name).summary()}" for name in branches]
    return "\n".join([f"usage: {USAGE}", "", *lines, "", "lottery_branch <branch> --help lists its flags."])
