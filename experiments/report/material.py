"""Stored runs read once, as everything that the page shows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.report.collect import Analyses, collect, curves
from experiments.report.replicates import HAVE_A_COLUMN, Replicates, full_network_once, summarize
from experiments.runs import listing
from experiments.runs.directory import Part
from experiments.runs.metrics import iterations_per_epoch
from experiments.runs.naming import distinct, text
from experiments.runs.rows import COLLAPSED, DAMAGED, DONE, ending, flat, result_rows, sparsity_report
from experiments.runs.status import FAILED
from foundations import files
from foundations.desc import Desc
from foundations.errors import UsageError
from foundations.formats import Row
from lottery import LotteryDesc
from stability import StabilityDesc
from training.hparams import TrainDesc

if TYPE_CHECKING:
    from experiments.runs.stored import StoredRun

OF_UPDATES = ("density", "ever_active", "dropped", "grown")
"""What a row of ``mask_updates.jsonl`` says beside its step."""


@dataclass
class Material:
    """What the page shows. Accuracies and densities are fractions of 1, costs multiply-adds."""

    runs: "Sequence[StoredRun]"
    rows: list[Row] = field(default_factory=list)
    """One for each training, level, branch or analysis, as ``result_rows`` has them, with ``kind`` and ``part``; where
    it did not end as it should, ``why``."""
    levels: list[Row] = field(default_factory=list)
    """Those of levels of lottery runs, with ``report``, the sparsity report, ``training_cost`` and ``varied``."""
    branches: list[Row] = field(default_factory=list)
    """Those of branches of levels that come to a test accuracy, with ``branch``, its name."""
    updates: list[Row] = field(default_factory=list)
    """One for each update of a level's mask that changes in training, the first for its beginning."""
    training: list[Row] = field(default_factory=list)
    """One for each epoch of a level, or of a trunk (level 0)."""
    stability: Analyses | None = None
    networks: dict[str, tuple[str, Desc]] = field(default_factory=dict)
    """Strategy and descriptor of each stability run, by its key."""
    lost: list[Row] = field(default_factory=list)
    """One for each lottery run that is damaged as a whole."""
    unread: list[str] = field(default_factory=list)
    """Why runs, or parts of them, are missing from figures."""

    @property
    def lines(self) -> list[Replicates]:
        """The replicates of each subnetwork, and those of the full network."""
        return summarize(full_network_once(self.levels), lost=self.lost)


def gather(
    runs: "Sequence[StoredRun]", labels: Mapping[str, str] | None = None, only: Collection[Path] | None = None
) -> Material:
    """Read runs. Those whose plug-ins are not loaded have their rows and hyperparameters alone.

    What is damaged is counted and named, and nothing else is left out for it.

    Args:
        runs: what is read.
        labels: what strategies are called, where it is not their name.
        only: the parts that are shown, by their directories; by default all.
    """
    labels = labels or {}
    own = {run.path: [row for row in rows_of(run) if only is None or row["path"] in only] for run in runs}
    found = Material(runs, [row for rows in own.values() for row in rows])
    damaged = {row["path"]: row for row in found.rows if row["state"] == DAMAGED}
    found.lost = [damaged[run.path] for run in runs if run.kind == "lottery" and run.path in damaged]
    there = [run for run in runs if run.path not in damaged]
    readable = [run for run in there if run.readable]
    unread = [f"{run.path}: not in figures; is a --plugin missing?" for run in there if not run.readable]
    found.unread = [*(f"Left out: {row['why']}." for row in damaged.values()), *unread]
    descs = {run.desc.key: run.desc for run in readable}
    varied = varied_among({key: desc for key, desc in descs.items() if isinstance(desc, LotteryDesc)})
    full = distinct({key: ("full network", desc) for key, desc in descs.items() if isinstance(desc, TrainDesc)})
    analysed = []
    for run in readable:
        match run.desc:
            case LotteryDesc() as desc:
                add_lottery(found, run, desc, own[run.path], varied[desc.key])
            case StabilityDesc() as desc:
                found.networks[desc.key] = desc.strategy_name, desc
                analysed.append(run.store)
            case TrainDesc() as desc:
                about = {"strategy": full[desc.key], "k": "", "varied": {}, "level": 0, "density": 1.0}
                about |= {"replicate": run.replicate, "path": run.path, "trunk": desc.key}
                found.training += [{**about, **curve} for curve in curves(run.store, iterations_per_epoch(run.store))]
    found.levels.sort(key=lambda row: (row["strategy"], row["k"], -row["density"], row["replicate"]))
    collected = collect(analysed, only)
    collected.order = list(dict.fromkeys(row["strategy"] for row in found.levels))
    found.stability = collected if collected.analyses else None
    relabel(found, labels)
    return found


def relabel(found: Material, labels: Mapping[str, str]) -> None:
    """Call strategies by their labels, in every row."""
    if not labels:
        return
    for row in (*found.rows, *found.levels, *found.updates, *found.training):
        if "strategy" in row:
            row["strategy"] = labels.get(row["strategy"], row["strategy"])
    found.networks = {key: (labels.get(name, name), desc) for key, (name, desc) in found.networks.items()}
    if (analyses := found.stability) is not None:
        for row in (row for table in analyses.tables for row in table):
            name, comma, rest = row["network"].partition(", ")
            row["network"] = labels.get(name, name) + comma + rest
        analyses.order = [labels.get(name, name) for name in analyses.order]


def those_that(conditions: Sequence[str], runs: "Sequence[StoredRun]") -> tuple["list[StoredRun]", set[Path]]:
    """Return the runs of which parts fulfil all conditions of ``list --where``, and the directories of these parts.

    The dense trainings that they stand on are among them, to be compared with.

    Raises:
        UsageError: a condition has no such form or names no column, or nothing fulfils them.
    """
    rows = {run.path: list(listing.rows_of(run)) for run in runs}
    every = [row for own in rows.values() for row in own]
    wanted = {Path(row["path"]) for row in listing.chosen(every, conditions, listing.known_columns(every), "only")}
    if not wanted:
        raise UsageError(f"--only={conditions[0]}: no training, level, branch or analysis fulfils it")
    trunks = {
        run.trunk_of(run.train).path for run in runs if run.readable and run.train is not None
        and any(Path(row["path"]) in wanted for row in rows[run.path])
    }  # fmt: skip
    for run in runs:
        if run.readable and run.train is not None and run.trunk_of(run.train).path in trunks:
            wanted |= {Path(row["path"]) for row in rows[run.path] if row["kind"] == "train" or row["level"] == 0}
    return [run for run in runs if any(Path(row["path"]) in wanted for row in rows[run.path])], wanted


def rows_of(run: "StoredRun") -> list[Row]:
    """Return the rows of a run, each with its kind, the name of its part and, if it is not done, why."""
    parts = {part.store.path: part for part in run.parts} if run.path.is_dir() else {}
    rows = []
    for row in result_rows(run):
        part = parts.get(row["path"], Part("", run.store))
        about = {"kind": run.kind, "part": "" if row["path"] == run.path else part.name, "why": row.get("reason", "")}
        if row["state"] != DAMAGED and not part.done:
            about |= why_not_done(part, row["state"])
        rows.append({**row, **about})
    return rows


def why_not_done(part: Part, state: str) -> Row:
    if state == COLLAPSED:
        return {"why": part.why_collapsed}
    known = part.state
    stopped = f"stopped at {known.at.short}" if known.at else "stopped before its first step"
    return {"state": FAILED if known.word == FAILED else state, "why": known.reason or stopped}


def varied_among(descs: Mapping[str, LotteryDesc]) -> dict[str, dict[str, str]]:
    """Return by key the hyperparameters that differ, as text; of pruning only those that differ within one strategy.

    What a strategy brings as its own default tells no two experiments apart that the strategy does not.
    """
    known = {key: flat(desc.to_dict()) for key, desc in descs.items()}
    of_trunks = {name for desc in descs.values() for name in flat(desc.train.to_dict())}
    names = {name for one in known.values() for name in one}
    values: dict[tuple[str, str], set[str]] = {}
    for one in known.values():
        for name in names:
            within = "" if name in of_trunks else one["pruning_strategy"]
            values.setdefault((name, within), set()).add(text(one.get(name)))
    wanted = sorted({name for (name, _), some in values.items() if len(some) > 1} - HAVE_A_COLUMN)
    return {key: {name: text(one[name]) for name in wanted if name in one} for key, one in known.items()}


def add_lottery(
    found: Material, run: "StoredRun", desc: LotteryDesc, rows: Sequence[Row], varied: Mapping[str, str]
) -> None:
    """Add the levels of a lottery run and their curves; branches have reports of their own."""
    parts = {part.store.path: part for part in run.parts if "/" not in part.name}
    per_epoch = iterations_per_epoch(run.trunk_of(desc.train), *(part.store for part in parts.values()))
    found.branches += [
        {**row, "branch": row["part"].partition("/")[2].rpartition("_")[0], "level": int(row["level"])}
        for row in rows if "/" in row["part"] and row["state"] == DONE and "test_accuracy" in row
    ]  # fmt: skip
    for stored in (row for row in rows if row["path"] in parts):
        part = parts[stored["path"]]
        report = {} if stored["state"] == DAMAGED else sparsity_report(part)
        cost = report.get("training_multiply_adds")
        row = {
            **stored, "varied": dict(varied), "report": report, "state": ending(part),
            "training_cost": cost["total"] / cost["dense_training"] if cost and cost["dense_training"] else None,
        }  # fmt: skip
        found.levels.append(row)
        if row["state"] == DAMAGED:
            continue
        what = {name: row[name] for name in ("strategy", "k", "varied", "level", "density", "replicate", "path")}
        found.updates += [
            {**what, "epoch": update["iteration"] / per_epoch, **{name: update[name] for name in OF_UPDATES}}
            for update in part.store.read_rows(files.MASK_UPDATES)
        ]
        found.training += [{**what, "trunk": desc.train.key, **curve} for curve in curves(part.store, per_epoch)]
