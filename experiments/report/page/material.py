"""What stored runs hold, as the rows that the page is made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments.report.collect import Rows, collect, curves
from experiments.report.lines import HAVE_A_COLUMN, Replicates, full_network_once, summarize
from experiments.report.naming import distinct, leaves, text
from experiments.report.stability import Analysed
from experiments.runs.directory import Part, iterations_per_epoch
from experiments.runs.rows import COLLAPSED, DAMAGED, ending, faults, result_rows, sparsity_report
from experiments.runs.status import FAILED
from foundations import files
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc
from stability import StabilityDesc
from stability.verdict import read_verdict
from training.hparams import TrainDesc

if TYPE_CHECKING:
    from experiments.runs.stored import StoredRun

TableRow = dict[str, Any]

OF_UPDATES = ("density", "ever_active", "dropped", "grown")
"""What a line of ``mask_updates.jsonl`` says beside its step."""


@dataclass
class Material:
    """What the page shows. Accuracies and densities are fractions of 1, costs multiply-adds."""

    runs: "Sequence[StoredRun]"
    endings: list[TableRow] = field(default_factory=list)
    """One for each training, level, branch or analysis: how it ended, and why if not as it should."""
    levels: list[TableRow] = field(default_factory=list)
    """One for each level of a lottery run, as ``lines`` has them, with ``report``, the sparsity report."""
    updates: list[TableRow] = field(default_factory=list)
    """One for each update of a level's mask that changes in training, the first for its beginning."""
    training: list[TableRow] = field(default_factory=list)
    """One for each epoch of a level, or of a trunk (level 0)."""
    stability: Rows | None = None
    analysed: list[Analysed] = field(default_factory=list)
    lost: list[TableRow] = field(default_factory=list)
    """One for each lottery run that is damaged as a whole."""
    unread: list[str] = field(default_factory=list)
    """Why runs, or parts of them, are missing from figures."""

    @property
    def lines(self) -> list[Replicates]:
        """The replicates of each subnetwork, and those of the full network."""
        return summarize(full_network_once(self.levels), lost=self.lost)


def gather(runs: "Sequence[StoredRun]") -> Material:
    """Read runs. Those whose plug-ins are not loaded have their ending and hyperparameters alone.

    What is damaged is counted and named, and nothing else is left out for it.
    """
    found = Material(runs, [row for run in runs for row in endings(run)])
    damaged = {path: why for run in runs for path, why in faults(run).items()}
    there = [run for run in runs if run.path not in damaged or run.kind not in ("lottery", "stability")]
    readable = [run for run in there if run.readable]
    unread = [f"{run.path}: not in figures; is a --plugin missing?" for run in there if not run.readable]
    found.unread = [*(f"Left out: {why}." for why in damaged.values()), *unread]
    lottery = [run for run in readable if isinstance(run.desc, LotteryDesc)]
    found.lost = [row for run in runs if run.kind == "lottery" and run.path in damaged for row in result_rows(run)]
    varied = varied_among({run.desc.key: run.desc for run in lottery if isinstance(run.desc, LotteryDesc)})
    for run in lottery:
        add_lottery(found, run, varied[run.desc.key])
    found.levels.sort(key=lambda row: (row["strategy"], row["k"], -row["density"], row["replicate"]))
    add_trunks(found, [run for run in readable if isinstance(run.desc, TrainDesc) and run.path not in damaged])
    analyses = [run for run in readable if isinstance(run.desc, StabilityDesc)]
    rows = collect(run.store for run in analyses)
    found.stability = rows if rows.analyses else None
    found.analysed = [one for run in analyses for one in analysed(run)]
    return found


def endings(run: "StoredRun") -> list[TableRow]:
    """Return how each part of a run ended. A part that was never begun is not on disk."""
    about = {"kind": run.kind, "replicate": run.replicate}
    broken = faults(run)
    parts = [Part("", run.store)] if run.path in broken else run.parts
    return [
        {**about, "part": part.name, **part_ending(part, broken.get(part.store.path, "")),
         "directory": str(part.store.path)}
        for part in parts
        if part.store.path.is_dir()
    ]  # fmt: skip


def part_ending(part: Part, fault: str) -> TableRow:
    """State, result and, if it did not end as it should, what is known of why."""
    if fault:
        return {"state": DAMAGED, "accuracy": None, "why": fault}
    state = ending(part)
    if part.done:
        result = part.result()
        return {"state": state, "accuracy": result.get("test_accuracy", result.get("child_accuracy")), "why": ""}
    if state == COLLAPSED:
        return {"state": state, "accuracy": None, "why": part.why_collapsed}
    known = part.state
    stopped = f"stopped at {known.at.short}" if known.at else "stopped before its first step"
    return {"state": FAILED if known.word == FAILED else state, "accuracy": None, "why": known.reason or stopped}


# Lottery runs ------------------------------------------------------------------------------------------------------


def varied_among(descs: Mapping[str, LotteryDesc]) -> dict[str, dict[str, str]]:
    """By key the hyperparameters that differ, as text; of pruning only those that differ within one strategy.

    What a strategy brings as its own default tells no two experiments apart that the strategy does not.
    """
    flat = {key: leaves(desc) for key, desc in descs.items()}
    of_trunks = {name for desc in descs.values() for name in leaves(desc.train)}
    names = {
        name
        for one in flat.values()
        for other in flat.values()
        for name in {*one, *other}
        if one.get(name) != other.get(name) and (name in of_trunks or one["strategy"] == other["strategy"])
    }
    wanted = sorted(names - HAVE_A_COLUMN)
    return {key: {name: text(one[name]) for name in wanted if name in one} for key, one in flat.items()}


def add_lottery(found: Material, run: "StoredRun", varied: Mapping[str, str]) -> None:
    """Add the levels of a lottery run and their curves."""
    desc, parts = run.desc, run.parts
    assert isinstance(desc, LotteryDesc), "sorted out before"
    per_epoch = iterations_per_epoch(trunk_of(run, desc.train), *(part.store for part in parts))
    for row, part in zip(result_rows(run), parts, strict=True):
        if "/" in part.name:  # a branch, which has a report of its own
            continue
        broken = row["state"] == DAMAGED
        report = {} if broken else sparsity_report(part)
        cost = report.get("training_multiply_adds")
        row |= {
            "varied": dict(varied), "report": report,
            "training_cost": cost["total"] / cost["dense_training"] if cost and cost["dense_training"] else None,
        }  # fmt: skip
        found.levels.append(row)
        if broken:
            continue
        what = {name: row[name] for name in ("strategy", "k", "varied", "level", "density", "replicate", "path")}
        found.updates += [
            {**what, "epoch": update["iteration"] / per_epoch, **{name: update[name] for name in OF_UPDATES}}
            for update in part.store.read_rows(files.MASK_UPDATES)
        ]
        what["trunk"] = desc.train.key
        found.training += [{**what, **curve} for curve in curves(part.store, per_epoch)]


def trunk_of(run: "StoredRun", train: TrainDesc) -> Store:
    """Return the directory of the dense training that a run depends on."""
    return Store(run.path.parent.parent / train.key / run.path.name)


def add_trunks(found: Material, runs: "Iterable[StoredRun]") -> None:
    """Add the curves of dense trainings."""
    described = [(run, run.desc) for run in runs]
    names = distinct({desc.key: ("full network", desc) for _, desc in described})
    for run, desc in described:
        about = {"strategy": names[desc.key], "k": "", "varied": {}, "level": 0, "density": 1.0}
        rows = curves(run.store, iterations_per_epoch(run.store))
        found.training += [
            {**about, "replicate": run.replicate, "path": run.path, "trunk": desc.key, **curve} for curve in rows
        ]


# Stability ---------------------------------------------------------------------------------------------------------


def analysed(run: "StoredRun") -> list[Analysed]:
    """Return the analyses of a run, as the table has them."""
    desc = run.desc
    assert isinstance(desc, StabilityDesc), "sorted out before"
    per_epoch = iterations_per_epoch(trunk_of(run, desc.train))
    found = []
    for part in run.parts:
        if part.marker != files.INSTABILITY:  # what a criterion for k has found
            continue
        k = Step(part.name.removeprefix(files.ANALYSIS))
        state = ending(part)
        verdict = read_verdict(part.store) if state != DAMAGED and part.done else None
        shown = verdict.k if verdict else k
        found.append(Analysed(desc, shown, k.iteration(per_epoch), part.store.path, verdict, state))
    return found
