"""Finished analyses as flat rows, read from disk: what tables and figures are made of."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from foundations import files
from foundations.desc import Desc
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc
from stability.analysis import FILE
from stability.barrier import average
from stability.desc import StabilityDesc
from stability.rows import BATCHNORM, SPLITS, read_rows

TableRow = dict[str, Any]
DISTANCES = ("l2", "angular", "disagreement", "classification_difference")


@dataclass(frozen=True)
class Index:
    """What the analyses of one network differ in, apart from the replicate. Templates are filled from a row."""

    name: str
    """In names of files."""
    column: str
    """The column that puts a network's analyses in order."""
    title: str
    """Template: the heading of an analysis."""
    mark: str
    """Template: the same in short, beside a point."""
    children: str
    """Template: a line of the legend."""
    from_result: tuple[str, ...] = ()
    """Entries of ``instability.json`` that tell the analyses apart."""


BY_K = Index("k", "k_epoch", "k = {k}", "{k}", "children from k = {k_epoch:g} ep")
BY_LEVEL = Index(
    "level", "level", "level {level} ({density:.1%})", "{level}", "children of level {level}",
    from_result=("level", "density"),
)  # fmt: skip


@dataclass
class Rows:
    """The tables of a report. Barriers and errors are fractions of 1."""

    index: Index
    analyses: list[TableRow] = field(default_factory=list)
    """One for each network, k or level, and replicate."""
    pairs: list[TableRow] = field(default_factory=list)
    """One for each pair of children."""
    lines: list[TableRow] = field(default_factory=list)
    """One for each alpha, split and BatchNorm treatment of a pair."""
    training: list[TableRow] = field(default_factory=list)
    """One for each epoch of each child, and of the full network (the child 0)."""


def collect(stores: Iterable[Store]) -> Rows:
    """The rows of all analyses that are finished in ``stability_<hash>/replicate_<n>``."""
    return gather(stores, "k_*", StabilityDesc, name_of_stability, BY_K)


def collect_levels(stores: Iterable[Store], branch: str) -> Rows:
    """The rows of all levels that are analysed in ``lottery_<hash>/replicate_<n>``, by the branch with this key."""
    return gather(stores, f"level_*/{branch}", LotteryDesc, name_of_lottery, BY_LEVEL)


def gather(
    stores: Iterable[Store], pattern: str, kind: type[Desc], name_of: Callable[[Any], str], index: Index
) -> Rows:
    """The rows of all analyses in the directories of each store that fit a pattern."""
    rows = Rows(index)
    found = [(store, paths) for store in stores if (paths := sorted(store.path.glob(f"{pattern}/{FILE}")))]
    described = [(store, paths, read_desc(store, kind)) for store, paths in found]
    names = distinct({desc.key: (name_of(desc), desc.train.training.optimizer) for _, _, desc in described})
    trunks: set[Path] = set()
    for store, paths, desc in described:
        replicate = int(store.path.name.removeprefix("replicate_"))
        who = {"network": names[desc.key], "trunk": desc.train.key, "replicate": replicate}
        trunk = Store(store.path.parent.parent / desc.train.key / store.path.name)
        per_epoch = iterations_per_epoch(trunk)
        for path in paths:
            _add_analysis(rows, Store(path.parent), who, per_epoch)
        if trunk.path not in trunks:
            trunks.add(trunk.path)
            full = {**who, "network": "full network", index.column: None, "child": 0}
            rows.training += [{**full, **curve} for curve in curves(trunk, per_epoch)]
    for table in (rows.analyses, rows.pairs, rows.lines):
        table.sort(key=lambda row: (row["network"], row[index.column], row["replicate"]))
    return rows


def _add_analysis(rows: Rows, here: Store, who: TableRow, per_epoch: int) -> None:
    result = here.read_json(FILE)
    k = Step(result["k"])
    at = {**who, "k": k.short, "k_epoch": k.iteration(per_epoch) / per_epoch}
    at |= {name: result[name] for name in rows.index.from_result}
    own_pairs = [
        {**at, "first_child": pair["children"][0], "second_child": pair["children"][1], **barriers(pair),
         **{name: pair[name] for name in DISTANCES}}
        for pair in result["pairs"]
    ]  # fmt: skip
    rows.pairs += own_pairs
    rows.analyses.append(
        {
            **at,
            **{name: result[name] for name in ("strategy", "threshold", "stable", "learned", "density")},
            **barriers(result),
            "pairs": len(own_pairs),
            **{f"{name}_spread": value for name, value in barriers(result, "_spread").items()},
            **{name: result[name] for name in ("child_accuracy", "full_network_accuracy", "accuracy_gap")},
            **{name: average([pair[name] for pair in own_pairs]) for name in DISTANCES},
            "l2_from_start": average([child["l2_from_start"] for child in result["children"]]),
        }
    )
    wanted = asked_for(result)
    rows.lines += [{**at, **asdict(row)} for row in read_rows(here) if wanted(row)]
    for child in result["children"]:
        number = child["child"]
        rows.training += [
            {**who, rows.index.column: at[rows.index.column], "child": number, **curve}
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
        for row in store.read_rows(files.METRICS)
    ]


def iterations_per_epoch(trunk: Store) -> int:
    """Read off the trunk's metrics, whose second row is that of the first epoch."""
    rows = trunk.read_rows(files.METRICS)
    return int(rows[1]["iteration"]) if len(rows) > 1 else 1


def read_desc(store: Store, kind: type[Desc]) -> Any:
    """What a run depends on, from its ``desc.json``."""
    entries = store.read_json("desc.json")
    return kind.from_dict({name: value for name, value in entries.items() if name != "kind"})


def distinct(names: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """The name for each key, of (name, optimizer): as much as tells it from the others, at last the key's digits."""
    choices = [{key: name for key, (name, _) in names.items()}]
    choices += [{key: f"{name}, {optimizer}" for key, (name, optimizer) in names.items()}]
    choices += [{key: f"{name} [{key[-4:]}]" for key, name in choices[0].items()}]
    return {
        key: next(
            (choice[key] for choice in choices if list(choice.values()).count(choice[key]) == 1), choices[-1][key]
        )
        for key in names
    }


def name_of_stability(desc: StabilityDesc) -> str:
    """``full network`` or ``adsynflow, 10%``."""
    return "full network" if desc.strategy is None else f"{desc.strategy_name}, {100 * desc.density:.3g}%"


def name_of_lottery(desc: LotteryDesc) -> str:
    """``adsynflow, k = 30ep``."""
    return f"{desc.strategy.name}, k = {desc.k.short}"
