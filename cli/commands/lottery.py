"""``lottery``: train to k, prune, train the subnetwork on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cli.flags import Section
from cli.lists import expand
from cli.options import LotteryOptions, RunOptions
from cli.results import print_lottery_results
from cli.running import DataCache, Parsed, make_context, parse_run
from cli.selection import Selection
from foundations.errors import UsageError
from foundations.runner import store_of
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
        raise UsageError(f"--k={options.k.short}: beyond --training_steps={train.training.training_steps.short}")
    strategy = parsed.build(strategy_class)
    desc = LotteryDesc(
        train=train, strategy=strategy, pruning=pruning, k=options.k, reset_optimizer=options.reset_optimizer
    )
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


def run(argv: Sequence[str]) -> int:
    """Runs each experiment asked for, one after the other over the trunks they share, and prints one table."""
    parsed = [parse_run("lottery", SUMMARY, single, sections, prunes=True) for single in expand(argv)]
    if None in parsed:
        return 0
    described = [(one.build(RunOptions), *describe(one)) for one in parsed if one is not None]
    cache, runs = DataCache(), []
    for options, desc, lottery in described:
        context = make_context(options, ["lottery", *argv])
        store = store_of(desc, options.replicate, context)
        if options.display_output_location:
            print(store.path)
            continue
        data = cache.get(desc.train.data, context)
        runner = LotteryRunner(desc, options.replicate, lottery.levels, data, context, lottery.allow_collapse)
        runs.append((runner, store))
    rows: list[dict[str, Any]] = []
    for runner, store in runs:
        runner.run(store)
        rows += [
            {
                "strategy": runner.desc.strategy.name,
                "k": runner.desc.k.short,
                "path": store / f"level_{row['level']}",
                **row,
            }
            for row in runner.results(store)
        ]
    if rows:
        print_lottery_results(rows)
    return 0
