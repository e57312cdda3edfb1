"""Finished analyses as flat rows, read from disk: what tables and figures are made of."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from experiments.report.naming import distinct
from experiments.runs.directory import Part, iterations_per_epoch
from experiments.runs.rows import DAMAGED, DONE, ending, fault_of
from foundations import files
from foundations.desc import Desc
from foundations.errors import UsageError
from foundations.run import read_desc
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc
from stability import StabilityDesc
from stability.interpolation import even_alphas
from stability.plane import Landmark, PlanePoint
from stability.rows import LinePoint, read_rows, read_table
from stability.verdict import ALIGNED_DISTANCES, DISTANCES, Verdict, flat, read_verdict

TableRow = dict[str, Any]


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
    from_verdict: tuple[str, ...] = ()
    """Entries of the verdict that tell the analyses apart."""


BY_K = Index("k", "k_epoch", "k = {k}", "{k}", "children from k = {k_epoch:g} ep")
BY_LEVEL = Index(
    "level", "level", "level {level} ({density:.1%})", "{level}", "children of level {level}",
    from_verdict=("level", "density"),
)  # fmt: skip


@dataclass
class Rows:
    """The tables of a report. Barriers and errors are fractions of 1."""

    index: Index
    analyses: list[TableRow] = field(default_factory=list)
    """One for each network, k or level, and replicate."""
    missing: list[TableRow] = field(default_factory=list)
    """The same of those that were begun and have come to no verdict, with their ``state`` alone."""
    pairs: list[TableRow] = field(default_factory=list)
    """One for each pair of children."""
    lines: list[TableRow] = field(default_factory=list)
    """One for each alpha, split and BatchNorm treatment of a pair."""
    plane: list[TableRow] = field(default_factory=list)
    """One for each point and split of the plane through a start and two children, where it was asked for."""
    places: list[TableRow] = field(default_factory=list)
    """One for each network that is shown on such a plane."""
    training: list[TableRow] = field(default_factory=list)
    """One for each evaluation of each child, and of the full network (the child 0)."""


def collect(stores: Iterable[Store]) -> Rows:
    """Return the rows of all analyses that are finished of stability runs; those that are damaged are ``missing``."""
    return gather(stores, f"{files.ANALYSIS}*", StabilityDesc, name_of_stability, BY_K)


def refuse_damaged(stores: Iterable[Store]) -> None:
    """Raise ``UsageError`` with advice for the first damaged file of the analyses that a command has asked for."""
    for store in stores:
        for path in analysed(store, f"{files.ANALYSIS}*"):
            part = Part("", Store(path.parent), files.INSTABILITY)
            _ = part.has_path, part.state  # raises it
            if part.fault:
                raise UsageError(f"{part.fault}.\nDelete this file and run the same command again.")


def collect_levels(stores: Iterable[Store], branch: str) -> Rows:
    """The rows of all levels that are analysed in ``lottery_<hash>/replicate_<n>``, by the branch with this key."""
    return gather(stores, f"{files.LEVEL}*/{branch}", LotteryDesc, name_of_lottery, BY_LEVEL)


def gather(
    stores: Iterable[Store], pattern: str, kind: type[Desc], name_of: Callable[[Any], str], index: Index
) -> Rows:
    """Return the rows of all analyses in the directories of each store that fit a pattern."""
    rows = Rows(index)
    found = [(store, paths) for store in stores if (paths := analysed(store, pattern))]
    described: list[tuple[Store, list[Path], Any]] = [
        (store, paths, read_desc(store, kind)) for store, paths in found
    ]
    names = distinct({desc.key: (name_of(desc), desc) for _, _, desc in described})
    trunks: set[Path] = set()
    for store, paths, desc in described:
        replicate = int(store.path.name.removeprefix(files.REPLICATE))
        who = {"network": names[desc.key], "trunk": desc.train.key, "replicate": replicate}
        trunk = Store(store.path.parent.parent / desc.train.key / store.path.name)
        per_epoch = iterations_per_epoch(trunk, *(Store(child.parent) for child in store.path.rglob(files.METRICS)))
        endings = {here.path: ending(Part("", here, files.INSTABILITY)) for here in begun(store, pattern)}
        for path in paths:
            if endings[path.parent] != DAMAGED:
                _add_analysis(rows, Store(path.parent), who, per_epoch)
        rows.missing += [
            {**who, **at_of(Store(here), desc, per_epoch), "state": state} for here, state in endings.items()
            if state == DAMAGED or not (here / files.INSTABILITY).exists()
        ]  # fmt: skip
        if trunk.path not in trunks and not fault_of(Part("", trunk)):
            trunks.add(trunk.path)
            full = {**who, "network": "full network", index.column: None, "child": 0}
            rows.training += [{**full, **curve} for curve in curves(trunk, per_epoch)]
    for table in (rows.analyses, rows.pairs, rows.lines, rows.plane, rows.places):
        table.sort(key=lambda row: (row["network"], row[index.column], row["replicate"]))
    return rows


def analysed(store: Store, pattern: str) -> list[Path]:
    """Return the verdicts in a run, those of directories that were put aside left out."""
    paths = sorted(store.path.glob(f"{pattern}/{files.INSTABILITY}"))
    return [path for path in paths if not files.is_aside(path.parent.name)]


def begun(store: Store, pattern: str) -> list[Store]:
    """Return the directories of analyses, those that were put aside left out."""
    return [
        Store(path) for path in sorted(store.path.glob(pattern)) if path.is_dir() and not files.is_aside(path.name)
    ]


def at_of(here: Store, desc: Any, per_epoch: int) -> TableRow:
    """Return what the names of directories say of an analysis without a verdict: its k, or its level and density."""
    if isinstance(desc, LotteryDesc):
        level = int(here.path.parent.name.removeprefix(files.LEVEL))
        return {"level": level, "density": desc.density(level)}
    k = Step(here.path.name.removeprefix(files.ANALYSIS))
    return {"k": k.short, "k_epoch": k.iteration(per_epoch) / per_epoch}


def _add_analysis(rows: Rows, here: Store, who: TableRow, per_epoch: int) -> None:
    verdict = read_verdict(here)
    at = {**who, "k": verdict.k.short, "k_epoch": verdict.k.iteration(per_epoch) / per_epoch}
    at |= {name: getattr(verdict, name) for name in rows.index.from_verdict}
    rows.analyses.append({**at, **verdict.summary(), "state": DONE})
    rows.pairs += [
        {**at, "first_child": pair.children[0], "second_child": pair.children[1],
         **flat(pair.error_barrier, pair.loss_barrier, verdict.treatments),
         **{name: getattr(pair, name) for name in (*DISTANCES, *(ALIGNED_DISTANCES if verdict.analysis.align else ()))}}
        for pair in verdict.pairs
    ]  # fmt: skip
    wanted = asked_for(verdict)
    rows.lines += [{**at, **asdict(row)} for row in read_rows(here) if wanted(row)]
    if verdict.analysis.plane:
        rows.plane += [{**at, **asdict(point)} for point in read_table(here, files.PLANE, PlanePoint)]
        rows.places += [{**at, **asdict(place)} for place in read_table(here, files.PLANE_PLACES, Landmark)]
    for child in verdict.children:
        rows.training += [
            {**who, rows.index.column: at[rows.index.column], "child": child.child, **curve}
            for curve in curves(here.sub(files.child(child.child)), per_epoch)
        ]


def asked_for(verdict: Verdict) -> Callable[[LinePoint], bool]:
    """Return whether a row of interpolation.csv is one that the verdict rests on; others are of earlier settings."""
    alphas = set(even_alphas(verdict.analysis.alphas))
    pairs = {pair.children for pair in verdict.pairs}

    def wanted(row: LinePoint) -> bool:
        return (
            row.alpha in alphas
            and (row.first_child, row.second_child) in pairs
            and row.batchnorm in verdict.treatments
            and row.examples == verdict.examples[row.split]
            and row.batchnorm_examples in (0, verdict.examples["batchnorm"])
        )

    return wanted


def curves(store: Store, per_epoch: int) -> list[TableRow]:
    """Accuracy over a training: epoch, test accuracy, test loss; with a validation set also those on it."""
    names = ("test_accuracy", "test_loss", "validation_accuracy", "validation_loss")
    return [
        {"epoch": row["iteration"] / per_epoch, **{name: row[name] for name in names if name in row}}
        for row in store.read_rows(files.METRICS)
    ]


def name_of_stability(desc: StabilityDesc) -> str:
    """``full network`` or ``adsynflow, 10%``."""
    return "full network" if desc.strategy is None else f"{desc.strategy_name}, {100 * desc.density:.3g}%"


def name_of_lottery(desc: LotteryDesc) -> str:
    """``adsynflow, k = 30ep``."""
    return f"{desc.strategy.name}, k = {desc.k.short}"
