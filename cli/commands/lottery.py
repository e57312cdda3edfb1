"""``lottery``: train to k, prune, train the subnetwork on."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from cli import FAILED
from cli.flags import Section
from cli.options import LotteryOptions, RunOptions
from cli.results import report, run_each, show_lottery
from cli.running import DataCache, Parsed, make_context, parse_runs
from cli.selection import Selection
from cli.single_runs import SingleRun, complete_in_processes
from cli.stable_k import with_stable_k
from foundations.context import Context
from foundations.errors import UsageError
from foundations.runner import store_of
from foundations.store import Store
from lottery import LotteryDesc, LotteryRunner
from pruning import PruningHparams

SUMMARY = "Train to step k, prune, and train the subnetwork from k to the end; level n prunes n times over."


def sections(selection: Selection) -> list[Section]:
    """The flags of this command."""
    return [
        *selection.shared_sections(),
        selection.section("lottery", LotteryOptions),
        selection.section("pruning", PruningHparams),
        *selection.strategy_section(),
    ]


def describe(parsed: Parsed) -> tuple[LotteryDesc, LotteryOptions]:
    """The experiment that the flags describe."""
    options: LotteryOptions = parsed.build(LotteryOptions)
    if not options.levels:
        raise UsageError("--levels=: expected level numbers such as 1 or 0-3")
    strategy_class = parsed.selection.strategy
    assert strategy_class is not None
    train, pruning = parsed.train_desc(), parsed.build(PruningHparams)
    if options.density is not None:
        pruning = replace(pruning, pruning_fraction=fraction_for(options, parsed))
    assert options.k is not None  # a strategy or the recipe has given one
    if options.k.certainly_after(train.training.training_steps):
        by_default = "" if "k" in parsed.values else " (k is the default here; give a smaller one)"
        raise UsageError(
            f"--k={options.k.short}: beyond --training_steps={train.training.training_steps.short}{by_default}"
        )
    strategy = parsed.build(strategy_class)
    desc = LotteryDesc(
        train=train, strategy=strategy, pruning=pruning, k=options.k, reset_optimizer=options.reset_optimizer,
        compact=options.compact,
    )  # fmt: skip
    return desc, options


def fraction_for(options: LotteryOptions, parsed: Parsed) -> float:
    """The fraction to prune per level such that the last level keeps ``--density``."""
    assert options.density is not None
    if "pruning_fraction" in parsed.values:
        raise UsageError("--density and --pruning_fraction say the same thing; give one of them")
    last = max(options.levels)
    if last == 0:
        raise UsageError(f"--density={options.density}: --levels=0 prunes nothing")
    return float(1 - options.density ** (1 / last))


@dataclass(frozen=True)
class Experiment:
    """A lottery run that a command asks for."""

    options: RunOptions
    desc: LotteryDesc
    lottery: LotteryOptions
    context: Context
    command: tuple[str, ...]
    """That of a child that computes it alone."""

    @property
    def store(self) -> Store:
        """Its directory."""
        return store_of(self.desc, self.options.replicate, self.context)

    def runner(self, cache: DataCache) -> LotteryRunner:
        """What trains it."""
        data = cache.get(self.desc.train.data, self.context)
        lottery = self.lottery
        return LotteryRunner(
            self.desc, self.options.replicate, lottery.levels, data, self.context, lottery.allow_collapse
        )

    def single(self, lottery: LotteryRunner, run: Callable[[Store], None], done: Callable[[Store], bool]) -> SingleRun:
        """What computes it, and whether that is done, for this process or another; a branch has its own."""
        trunk = lottery.trunk
        reach = trunk.end if 0 in lottery.levels else trunk.iteration(self.desc.k)
        return SingleRun(self.label, self.command, trunk, reach, partial(run, self.store), partial(done, self.store))

    @property
    def label(self) -> str:
        """What it is called beside others."""
        return f"{self.desc.strategy.name}, k={self.desc.k.short}, replicate {self.options.replicate}"

    def row(self, result: dict[str, Any], here: Store) -> dict[str, Any]:
        """A line of the results: those of a level or branch, with what the experiment is."""
        strategy, k, replicate = self.desc.strategy.name, self.desc.k.short, self.options.replicate
        return {**result, "strategy": strategy, "k": k, "replicate": replicate, "path": here.path}


def experiments(parsed: Sequence[Parsed], command: Sequence[str], flags: Sequence[str]) -> list[Experiment]:
    """All experiments that were asked for; bad input to any of them is found before the first is run.

    Args:
        parsed: one for each.
        command: the subcommand, and the branch if it has one.
        flags: with lists, as they were given.
    """
    described = [(one, one.build(RunOptions), *describe(one)) for one in parsed]
    return [
        Experiment(options, desc, lottery, make_context(options, [*command, *flags]), (*command, *one.for_child()))
        for one, options, desc, lottery in described
    ]


def describe_one(flags: Sequence[str]) -> tuple[LotteryDesc, tuple[int, ...]] | None:
    """The experiment and levels of one run's flags; None if they only asked for help."""
    parsed = parse_runs("lottery", SUMMARY, flags, sections, prunes=True)
    if not parsed:
        return None
    desc, options = describe(parsed[0])
    return desc, options.levels


def run(argv: Sequence[str]) -> int:
    """Runs each experiment asked for over the trunks they share, --jobs at a time, and prints one table."""
    ready = with_stable_k(argv, describe_one)
    if ready is None:
        print("Nothing was pruned: no stable k was found.", file=sys.stderr)
        return FAILED
    parsed = [one for flags in ready for one in parse_runs("lottery", SUMMARY, flags, sections, prunes=True)]
    asked_for = experiments(parsed, ["lottery"], argv)
    if not asked_for:
        return 0
    if any(experiment.options.display_output_location for experiment in asked_for):
        print(*(experiment.store.path for experiment in asked_for), sep="\n")
        return 0
    cache = DataCache()
    runners = [experiment.runner(cache) for experiment in asked_for]
    singles = [one.single(runner, runner.run, runner.done) for one, runner in zip(asked_for, runners, strict=True)]
    finishes = complete_in_processes(singles, asked_for[0].options, asked_for[0].context.reporter)

    def results(experiment: Experiment, runner: LotteryRunner, finish: Callable[[], None]) -> list[dict[str, Any]]:
        finish()
        store = experiment.store
        return [experiment.row(row, store.sub(f"level_{row['level']}")) for row in runner.results(store)]

    def show(rows: list[dict[str, Any]]) -> None:
        show_lottery(rows)
        if len(asked_for) > 1:
            report(rows, asked_for[0].context)

    work = zip(asked_for, runners, finishes, strict=True)
    run_each([(one.label, partial(results, one, runner, finish)) for one, runner, finish in work], show)
    return 0
