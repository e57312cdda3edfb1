"""The table at the end of ``stability``, and where its figures go."""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from cli.terminal import print_table
from foundations.context import Context
from foundations.steps import Step
from stability import StabilityRunner
from stability.auto import verdict
from stability.collect import collect, distinct
from stability.report import directory_for, report

Groups = dict[tuple[str, str, int], list[dict[str, Any]]]
HEADERS = (
    "strategy", "k", "test barrier raw", "recalculated", "train barrier raw", "end accuracy", "gap to full", "verdict",
)  # fmt: skip


def print_stability_results(runners: Sequence[StabilityRunner]) -> None:
    """A line for each network and k, replicates together, and the smallest k found stable."""
    groups: Groups = {}
    names = distinct({one.desc.key: (one.desc.strategy_name, one.desc.train.training.optimizer) for one in runners})
    for runner in {runner.here.path: runner for runner in runners}.values():  # --k=auto,3 may come to 3 by itself
        key = runner.desc.key, names[runner.desc.key], runner.trunk.iteration(runner.k)
        groups.setdefault(key, []).append(runner.result())
    networks = dict.fromkeys((key, strategy) for key, strategy, _ in groups)
    ordered = [(network, group) for network in networks for group in by_k(groups, network)]
    print_table(HEADERS, [line(strategy, group) for (_, strategy), group in ordered])
    for network in networks:
        smallest = smallest_stable([group for other, group in ordered if other == network])
        print(f"{network[1]}: {smallest} (threshold {ordered[0][1][0]['threshold']:.2%})")


def by_k(groups: Groups, network: tuple[str, str]) -> list[list[dict[str, Any]]]:
    """The groups of a network by ascending k."""
    return [groups[key] for key in sorted(groups, key=lambda key: key[2]) if key[:2] == network]


def smallest_stable(groups: Sequence[Sequence[dict[str, Any]]]) -> str:
    """What can be said of a network, whose groups of replicates are in order of k.

    A k that --k=auto has looked at in some replicates only says nothing of the others.
    """
    replicates = max(map(len, groups))
    everywhere = " in all replicates" if replicates > 1 else ""
    for group in groups:
        if len(group) == replicates and all(one["stable"] for one in group):
            return f"the smallest k found stable{everywhere} is {Step(group[0]['k']).short}"
    return f"no k was found stable{everywhere}"


def line(strategy: str, group: Sequence[dict[str, Any]]) -> list[str]:
    """The cells of one network at one k."""
    test, train = ([one["error_barrier"][split] for one in group] for split in ("test", "train"))
    verdicts = [verdict(one) for one in group]
    stable = sum(one["stable"] for one in group)
    return [
        strategy,
        Step(group[0]["k"]).short,
        share([one["raw"] for one in test]),
        share([one["recalculated"] for one in test]),
        share([one["raw"] for one in train]),
        share([one["child_accuracy"] for one in group]),
        f"{100 * mean(one['accuracy_gap'] for one in group):+.2f} points",
        verdicts[0] if len(set(verdicts)) == 1 else f"stable in {stable} of {len(group)}",
    ]


def share(values: Sequence[float]) -> str:
    """``1.20%``, or mean and standard deviation of several: ``1.20% +- 0.15``."""
    return f"{mean(values):.2%}" + (f" +- {100 * stdev(values):.2f}" if len(values) > 1 else "")


def write_stability_report(runners: Sequence[StabilityRunner], context: Context) -> None:
    """Writes tables and figures of all runs in one place and says where."""
    stores = list({runner.store.path: runner.store for runner in runners}.values())
    report(collect(stores), directory_for(stores, context.root), context)
