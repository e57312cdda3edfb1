"""Finished analyses as flat rows, read from disk: what tables and figures are made of."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from foundations.steps import Step
from foundations.store import Store
from stability.analysis import FILE
from stability.barrier import average
from stability.desc import StabilityDesc
from stability.rows import BATCHNORM, SPLITS, read_rows
from training.segments import METRICS

TableRow = dict[str, Any]


@dataclass
class Rows:
    """The tables of a report. Barriers and errors are fractions of 1."""

    analyses: list[TableRow] = field(default_factory=list)
    """One for each network, k and replicate."""
    pairs: list[TableRow] = field(default_factory=list)
    """One for each pair of children."""
    lines: list[TableRow] = field(default_factory=list)
    """One for each alpha, split and BatchNorm treatment of a pair."""
    training: list[TableRow] = field(default_factory=list)
    """One for each epoch of each child, and of the full network (whose k is empty)."""


def collect(stores: Iterable[Store]) -> Rows:
    """The rows of all analyses that are finished in the given runs (``stability_<hash>/replicate_<n>``)."""
    rows = Rows()
    described = [(store, read_desc(store)) for store in stores]
    names = network_names([desc for _, desc in described])
    trunks: set[Path] = set()
    for store, desc in described:
        replicate = int(store.path.name.removeprefix("replicate_"))
        who = {"network": names[desc.key], "replicate": replicate}
        trunk = Store(store.path.parent.parent / desc.train.key / store.path.name)
        per_epoch = iterations_per_epoch(trunk)
        for name in sorted(store.path.glob(f"k_*/{FILE}")):
            _add_analysis(rows, store.sub(name.parent.name), who, per_epoch)
        if trunk.path not in trunks:
            trunks.add(trunk.path)
            full = {"network": "full network", "replicate": replicate, "k_epoch": None, "child": 0}
            rows.training += [{**full, **curve} for curve in curves(trunk, per_epoch)]
    for table in (rows.analyses, rows.pairs, rows.lines):
        table.sort(key=lambda row: (row["network"], row["k_epoch"], row["replicate"]))
    return rows


def _add_analysis(rows: Rows, here: Store, who: TableRow, per_epoch: int) -> None:
    result = here.read_json(FILE)
    k = Step(result["k"])
    at = {**who, "k": k.short, "k_epoch": k.iteration(per_epoch) / per_epoch}
    own_pairs = [
        {**at, "first_child": pair["children"][0], "second_child": pair["children"][1], **barriers(pair),
         **{name: pair[name] for name in ("l2", "angular", "disagreement", "classification_difference")}}
        for pair in result["pairs"]
    ]  # fmt: skip
    rows.pairs += own_pairs
    names = ("threshold", "stable", "learned", "density")
    rows.analyses.append(
        {
            **at,
            "strategy": result["strategy"],
            **{name: result[name] for name in names},
            **barriers(result),
            "pairs": len(own_pairs),
            **{f"{name}_spread": value for name, value in barriers(result, "_spread").items()},
            **{name: result[name] for name in ("child_accuracy", "full_network_accuracy", "accuracy_gap")},
            **{
                name: mean(pair[name] for pair in own_pairs)
                for name in ("l2", "angular", "disagreement", "classification_difference")
            },
            "l2_from_start": average([child["l2_from_start"] for child in result["children"]]),
        }
    )
    wanted = asked_for(result)
    rows.lines += [{**at, **asdict(row)} for row in read_rows(here) if wanted(row)]
    for child in result["children"]:
        number = child["child"]
        rows.training += [
            {**who, "k_epoch": at["k_epoch"], "child": number, **curve}
            for curve in curves(here.sub(f"child_{number}"), per_epoch)
        ]


def asked_for(result: TableRow) -> Any:
    """Whether a row of interpolation.csv is one that the verdict rests on; others are of earlier settings."""
    count, examples = result["analysis"]["alphas"], result["examples"]
    alphas = {index / (count - 1) for index in range(count)}
    pairs = {tuple(pair["children"]) for pair in result["pairs"]}

    def wanted(row: Any) -> bool:
        return (
            row.alpha in alphas
            and (row.first_child, row.second_child) in pairs
            and row.examples == examples[row.split]
            and row.batchnorm_examples in (0, examples["batchnorm"])
        )

    return wanted


def barriers(result: TableRow, suffix: str = "") -> TableRow:
    """The barriers of an analysis or a pair under flat names such as ``test_error_barrier_raw``."""
    return {
        f"{split}_{what}_barrier_{treatment}": result[f"{what}_barrier{suffix}"][split][treatment]
        for what in ("error", "loss")
        for split in SPLITS
        for treatment in BATCHNORM
    }


def curves(store: Store, per_epoch: int) -> list[TableRow]:
    """Accuracy over a training: epoch, test accuracy, test loss."""
    return [
        {"epoch": row["iteration"] / per_epoch, **{name: row[name] for name in ("test_accuracy", "test_loss")}}
        for row in store.read_rows(METRICS)
    ]


def iterations_per_epoch(trunk: Store) -> int:
    """Read off the trunk's metrics, whose second row is that of the first epoch."""
    rows = trunk.read_rows(METRICS)
    return int(rows[1]["iteration"]) if len(rows) > 1 else 1


def read_desc(store: Store) -> StabilityDesc:
    """What a run depends on, from its ``desc.json``."""
    entries = store.read_json("desc.json")
    return StabilityDesc.from_dict({name: value for name, value in entries.items() if name != "kind"})


def network_names(descs: Iterable[StabilityDesc]) -> dict[str, str]:
    """A name for each key: the strategy and the density, with the key's last digits where that is not enough."""
    names = {desc.key: plain_name(desc) for desc in descs}
    taken = list(names.values())
    return {key: name if taken.count(name) == 1 else f"{name} [{key[-4:]}]" for key, name in names.items()}


def plain_name(desc: StabilityDesc) -> str:
    """``full network`` or ``adsynflow, 10%``."""
    return "full network" if desc.strategy is None else f"{desc.strategy_name}, {100 * desc.density:.3g}%"
