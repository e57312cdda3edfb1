"""Criteria for k beside each other: where each puts k, what it cost to find it, what accuracy came of it."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from experiments.report.collect import name_of_stability
from experiments.report.naming import distinct
from experiments.report.tables import CSV, Row, Table, grouped, percent
from experiments.runs.directory import Part, iterations_per_epoch
from foundations import files
from foundations.averages import average
from foundations.desc import Desc
from foundations.hparams import as_text
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc
from stability import StabilityDesc

if TYPE_CHECKING:
    from experiments.runs.stored import StoredRun

COSTS = ("trunk", "children", "scores")
"""Dense training, children of analyses, masks that were drawn to be compared."""
COLUMNS = ("network", "criterion", "replicate", "k", *COSTS, "dense_training", "test_accuracy", "path")
"""Of ``criteria.csv``; costs in multiply-adds."""
CAPTION = "Costs of finding k, in dense trainings; training from k on is not among them."


@dataclass(frozen=True)
class Found:
    """What a criterion has found for a network in one replicate.

    Args:
        network: what the network is called.
        criterion: what the criterion is called beside others.
        found: ``search.json``.
        curve: ``curve.json``; empty if it has none.
        run: the analysis that it belongs to.
    """

    network: str
    criterion: str
    found: Mapping[str, Any]
    curve: Mapping[str, Any]
    run: "StoredRun"

    @property
    def k(self) -> Step | None:
        return None if self.found["k"] is None else Step(self.found["k"])

    @property
    def desc(self) -> StabilityDesc:
        desc = self.run.desc
        assert isinstance(desc, StabilityDesc), "sorted out before"
        return desc


def searches(runs: "Iterable[StoredRun]", wanted: Collection[str] | None = None) -> list[Found]:
    """What criteria have found, by network and criterion; only those ``wanted``, by the names of their directories."""
    parts = [(run, part) for run in runs if isinstance(run.desc, StabilityDesc) for part in found_parts(run)]
    parts = [(run, part) for run, part in parts if wanted is None or part.name in wanted]
    records = {part.name: part.result() for _, part in parts}
    descs: list[Desc] = [run.desc for run, _ in parts]
    names = distinct({d.key: (name_of_stability(d), d) for d in descs if isinstance(d, StabilityDesc)})
    called = labels(records)
    found = [
        Found(names[run.desc.key], called[part.name], part.result(), curve_of(part.store), run) for run, part in parts
    ]
    return sorted(found, key=lambda one: (one.network, one.criterion, one.run.replicate))


def found_parts(run: "StoredRun") -> Iterator[Part]:
    """Yield the directories in which criteria have written down what they found."""
    yield from (part for part in run.parts if part.marker == files.SEARCH and part.done)


def curve_of(here: Store) -> Mapping[str, Any]:
    """Return what was seen along the dense training."""
    return here.read_json(files.CURVE) if here.has(files.CURVE) else {}


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


def rows_of(
    found: Sequence[Found], runs: "Iterable[StoredRun]", given: Collection[str] | None = None
) -> list[dict[str, Any]]:
    """Return a row for each search, and one for each k that was given, under ``COLUMNS``.

    Args:
        found: the searches.
        runs: the lottery runs that may stand on them.
        given: the k's that were given as steps; by default those of runs at a k that no criterion has found.
    """
    lotteries = [run for run in runs if isinstance(run.desc, LotteryDesc)]
    rows: list[dict[str, Any]] = []
    for group in by_network(found):
        first = group[0]
        trunk = Store(first.run.path.parent.parent / first.desc.train.key / first.run.path.name)
        per_epoch = iterations_per_epoch(trunk)
        levels = dict(levels_of(first, lotteries, per_epoch))
        ks = [None if one.k is None else one.k.iteration(per_epoch) for one in group]
        rows += [row_of(one, None if at is None else levels.get(at)) for one, at in zip(group, ks, strict=True)]
        rows += [
            row_of_given(first, level)
            for at, level in levels.items()
            if (at not in ks if given is None else level[0] in given)
        ]
    return rows


def row_of(search: Found, level: "Level | None") -> dict[str, Any]:
    """Return what a criterion has found, and what came of it."""
    return {
        "network": search.network, "criterion": search.criterion, "replicate": search.run.replicate,
        "k": search.k and search.k.short, **search.found["multiply_adds"], **outcome(level),
    }  # fmt: skip


def row_of_given(search: Found, level: "Level") -> dict[str, Any]:
    """Return the same of a k that was given for the network of a search: it costs the dense training up to there."""
    k, here = level
    cost = here.read_json(files.SPARSITY_REPORT)["training_multiply_adds"]
    return {
        "network": search.network, "criterion": f"k={k}", "replicate": search.run.replicate, "k": k,
        "trunk": cost["pretraining"], "children": 0, "scores": 0, "dense_training": cost["dense_training"],
        **outcome(level),
    }  # fmt: skip


def by_network(found: Sequence[Found]) -> list[list[Found]]:
    groups: dict[str, list[Found]] = {}
    for one in found:
        groups.setdefault(str(one.run.path), []).append(one)
    return list(groups.values())


Level = tuple[str, Store]
"""Its k, and its directory."""


def levels_of(search: Found, runs: "Iterable[StoredRun]", per_epoch: int) -> Iterator[tuple[int, Level]]:
    """The levels that prune the network of a search, as it would have been pruned there, by the iteration of k."""
    for run in runs:
        desc = run.desc
        assert isinstance(desc, LotteryDesc), "sorted out before"
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


def outcome(level: Level | None) -> Row:
    """Return the accuracy of a level, if it is trained, and its directory."""
    if level is None:
        return {"test_accuracy": None, "path": None}
    here = level[1]
    return {"test_accuracy": here.result().get("test_accuracy") if here.done else None, "path": str(here.path)}


# Tables --------------------------------------------------------------------------------------------------------------


def as_csv(rows: Sequence[Row]) -> CSV:
    return COLUMNS, [[row[name] for name in COLUMNS] for row in rows]


def criteria_table(rows: Sequence[Row]) -> Table:
    """Return a line for each network and criterion, with means over the replicates; costs in dense trainings."""
    several = len({row["network"] for row in rows}) > 1
    headers = [*(["network"] if several else []), "criterion", "k", *COSTS, "in all", "test accuracy"]
    cells = []
    for group in grouped(rows, "network", "criterion"):
        costs = [average([row[name] / row["dense_training"] for row in group]) or 0.0 for name in COSTS]
        ks = ", ".join(dict.fromkeys(row["k"] or "none" for row in group))
        accuracy = percent([row["test_accuracy"] for row in group])
        about = [*([group[0]["network"]] if several else []), group[0]["criterion"], ks]
        cells.append([*about, *(f"{cost:.3g}" for cost in (*costs, sum(costs))), accuracy])
    return Table(headers, cells)
