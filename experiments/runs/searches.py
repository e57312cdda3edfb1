"""What criteria for k have found, as rows: where each puts k, what it cost to find it, what accuracy came of it."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.runs.directory import Part
from experiments.runs.metrics import iterations_per_epoch
from experiments.runs.naming import distinct, name_of_network
from experiments.runs.stored import StoredRun
from foundations import files
from foundations.formats import Row
from foundations.hparams import as_text
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc
from stability import StabilityDesc

COSTS = ("trunk", "children", "scores")
"""Dense training, children of analyses, masks that were drawn to be compared."""


@dataclass(frozen=True)
class Found:
    """What a criterion has found for a network in one replicate.

    Args:
        network: what the network is called.
        criterion: what the criterion is called beside others.
        found: ``search.json``.
        curve: ``curve.json``; empty if it has none.
        run: the analysis that it belongs to.
        desc: that of the run.
    """

    network: str
    criterion: str
    found: Mapping[str, Any]
    curve: Mapping[str, Any]
    run: StoredRun
    desc: StabilityDesc

    @property
    def k(self) -> Step | None:
        return None if self.found["k"] is None else Step(self.found["k"])


def searches(runs: Iterable[StoredRun], wanted: Collection[str] | None = None) -> list[Found]:
    """Return what criteria have found, by network and criterion.

    Args:
        runs: those of other kinds are passed over.
        wanted: the names of the directories of criteria; by default all of them.
    """
    parts = [
        (run, run.desc, part)
        for run in runs if isinstance(run.desc, StabilityDesc)
        for part in run.parts
        if part.marker == files.SEARCH and part.done and (wanted is None or part.name in wanted)
    ]  # fmt: skip
    called = labels({part.name: part.result() for _, _, part in parts})
    names = distinct({desc.key: (name_of_network(desc), desc) for _, desc, _ in parts})
    found = [
        Found(names[desc.key], called[part.name], part.result(), curve_of(part), run, desc) for run, desc, part in parts
    ]
    return sorted(found, key=lambda one: (one.network, one.criterion, one.run.replicate))


def curve_of(part: Part) -> Mapping[str, Any]:
    """Return what was seen along the dense training."""
    return part.store.read_json(files.CURVE) if part.store.has(files.CURVE) else {}


def labels(records: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return a name for each criterion; one of several settings of the same says in which it differs."""
    called: dict[str, str] = {}
    for key, record in records.items():
        same = [other["settings"] for other in records.values() if other["criterion"] == record["criterion"]]
        own = record["settings"]
        differing = [name for name in own if any(other.get(name) != own[name] for other in same)]
        marks = [f"{name}={as_text(Step(own[name]).short if name == 'k_every' else own[name])}" for name in differing]
        called[key] = ", ".join([record["criterion"], *marks])
    return called


def search_rows(found: Sequence[Found], runs: Iterable[StoredRun], given: Collection[str] | None = None) -> list[Row]:
    """Return a row for each search, and one for each k that was given as a step.

    A row says network, criterion, replicate and k, the multiply-adds of finding it (:data:`COSTS`) and of one dense
    training, and the test accuracy and path of the level that was pruned there.

    Args:
        found: the searches.
        runs: the lottery runs that may stand on them.
        given: the k's that were given; by default those of runs at a k that no criterion has found.
    """
    lotteries = [(run, run.desc) for run in runs if isinstance(run.desc, LotteryDesc)]
    groups: dict[str, list[Found]] = {}
    for one in found:
        groups.setdefault(str(one.run.path), []).append(one)
    rows: list[Row] = []
    for group in groups.values():
        first = group[0]
        per_epoch = iterations_per_epoch(first.run.trunk_of(first.desc.train))
        levels = dict(levels_of(first, lotteries, per_epoch))
        ks = [None if one.k is None else one.k.iteration(per_epoch) for one in group]
        rows += [row_of(one, None if at is None else levels.get(at)) for one, at in zip(group, ks, strict=True)]
        rows += [
            row_of_given(first, level)
            for at, level in levels.items()
            if (at not in ks if given is None else level[0] in given)
        ]
    return rows


LevelAtK = tuple[str, Store]
"""The k of a lottery run's level, and its directory."""


def levels_of(
    search: Found, runs: Iterable[tuple[StoredRun, LotteryDesc]], per_epoch: int
) -> Iterator[tuple[int, LevelAtK]]:
    """Yield by the iteration of k the levels that prune the network of a search as it would have been pruned there."""
    for run, desc in runs:
        if run.replicate == search.run.replicate and prunes_alike(desc, search.desc):
            for part in run.parts:
                number = part.name.removeprefix(files.LEVEL)
                same = number.isdecimal() and math.isclose(desc.density(int(number)), search.desc.density, rel_tol=1e-9)
                if same and part.store.has(files.SPARSITY_REPORT):
                    yield desc.k.iteration(per_epoch), (desc.k.short, part.store)


def prunes_alike(lottery: LotteryDesc, analysed: StabilityDesc) -> bool:
    """Return whether the subnetworks of two experiments are the same but for their density and k."""
    if analysed.pruning is None or analysed.strategy is None:
        return False
    pruning = replace(lottery.pruning, pruning_fraction=analysed.pruning.pruning_fraction)
    return (
        (lottery.train, lottery.strategy, pruning, lottery.reset_optimizer)
        == (analysed.train, analysed.strategy, analysed.pruning, analysed.reset_optimizer)
    )  # fmt: skip


def row_of(search: Found, level: LevelAtK | None) -> Row:
    return {
        "network": search.network, "criterion": search.criterion, "replicate": search.run.replicate,
        "k": search.k and search.k.short, **search.found["multiply_adds"], **outcome(level),
    }  # fmt: skip


def row_of_given(search: Found, level: LevelAtK) -> Row:
    """Return the row of a k that was given for the network of a search: it costs the dense training up to there."""
    k, here = level
    cost = here.read_json(files.SPARSITY_REPORT)["training_multiply_adds"]
    return {
        "network": search.network, "criterion": f"k={k}", "replicate": search.run.replicate, "k": k,
        "trunk": cost["pretraining"], "children": 0, "scores": 0, "dense_training": cost["dense_training"],
        **outcome(level),
    }  # fmt: skip


def outcome(level: LevelAtK | None) -> Row:
    """Return the accuracy of a level, if it is trained, and its directory."""
    if level is None:
        return {"test_accuracy": None, "path": None}
    here = level[1]
    return {"test_accuracy": here.result().get("test_accuracy") if here.done else None, "path": str(here.path)}
