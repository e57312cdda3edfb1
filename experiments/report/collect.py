"""Instability analyses read from disk, as the rows that their tables and figures are made of."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from experiments.runs.directory import Part
from experiments.runs.metrics import iterations_per_epoch
from experiments.runs.naming import distinct, name_of_network
from experiments.runs.rows import DAMAGED, DONE, ending, fault_of, measured
from foundations import files
from foundations.desc import Desc
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.recovery import advise
from foundations.run import read_desc
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc
from stability import StabilityDesc
from stability.interpolation import even_alphas
from stability.plane import Landmark, PlanePoint
from stability.rows import LinePoint, read_rows, read_table, renamed
from stability.verdict import ALIGNED_DISTANCES, DISTANCES, Verdict, read_verdict
from stability.verdict import flat as flat_barriers


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
class Analyses:
    """The tables of a report on instability analyses. Barriers and errors are fractions of 1."""

    index: Index
    analyses: list[Row] = field(default_factory=list)
    """One for each network, k or level, and replicate."""
    missing: list[Row] = field(default_factory=list)
    """Likewise for analyses that were begun and have no verdict, with their ``state``."""
    pairs: list[Row] = field(default_factory=list)
    """One for each pair of children."""
    lines: list[Row] = field(default_factory=list)
    """One for each alpha, split and BatchNorm treatment of a pair."""
    plane: list[Row] = field(default_factory=list)
    """One for each point and split of the plane through a start and two children, where it was asked for."""
    places: list[Row] = field(default_factory=list)
    """One for each network that is shown on such a plane."""
    training: list[Row] = field(default_factory=list)
    """One for each evaluation of each child, and of the full network (the child 0)."""
    order: list[str] = field(default_factory=list)
    """The strategies of all figures beside which they are shown, for their colours."""

    @property
    def tables(self) -> tuple[list[Row], ...]:
        return self.analyses, self.missing, self.pairs, self.lines, self.plane, self.places, self.training


def collect(stores: Iterable[Store], only: Collection[Path] | None = None) -> Analyses:
    """Return the rows of all finished analyses of stability runs, or of some directories; damaged ones are missing."""
    return collect_analyses(stores, f"{files.ANALYSIS}*", StabilityDesc, name_of_network, BY_K, only)


def collect_levels(stores: Iterable[Store], branch: str) -> Analyses:
    """Return the rows of all levels that the branch with this key has analysed, of ``lottery_<hash>/replicate_<n>``."""
    return collect_analyses(stores, f"{files.LEVEL}*/{branch}", LotteryDesc, name_of_lottery, BY_LEVEL)


def name_of_lottery(desc: LotteryDesc) -> str:
    return f"{desc.strategy.name}, k = {desc.k.short}"


def refuse_damaged(stores: Iterable[Store]) -> None:
    """Raise ``UsageError`` with advice for the first damaged file of the analyses that a command has asked for."""
    for part in (part for store in stores for part in analyses_in(store, f"{files.ANALYSIS}*")):
        _ = part.has_path, part.state  # raises it
        if fault := part.fault:
            raise UsageError(f"{fault}.\n{advise(Store(fault.file.parent), fault.file.name).text}")


def analyses_in(store: Store, pattern: str) -> list[Part]:
    """Return the analyses that were begun in a run, without those that were put aside."""
    paths = [path for path in sorted(store.path.glob(pattern)) if path.is_dir() and not files.is_aside(path.name)]
    return [Part("", Store(path), files.INSTABILITY) for path in paths]


def collect_analyses(
    stores: Iterable[Store], pattern: str, kind: type[Desc], name_of: Callable[[Any], str], index: Index,
    only: Collection[Path] | None = None,
) -> Analyses:  # fmt: skip
    """Return the rows of the analyses whose directories fit a pattern, of all runs that have a verdict."""
    rows = Analyses(index)
    found = [(store, parts) for store in stores if any(map(has_verdict, parts := analyses_in(store, pattern)))]
    described: list[tuple[Store, list[Part], Any]] = [(store, parts, read_desc(store, kind)) for store, parts in found]
    names = distinct({desc.key: (name_of(desc), desc) for *_, desc in described})
    trunks: set[Path] = set()
    for store, parts, desc in described:
        replicate = int(store.path.name.removeprefix(files.REPLICATE))
        who = {"network": names[desc.key], "trunk": desc.train.key, "replicate": replicate}
        trunk = Store(store.path.parent.parent / desc.train.key / store.path.name)
        per_epoch = iterations_per_epoch(trunk, *(Store(child.parent) for child in store.path.rglob(files.METRICS)))
        for part in (part for part in parts if only is None or part.store.path in only):
            state = ending(part)
            if has_verdict(part) and state != DAMAGED:
                add_analysis(rows, part.store, who, per_epoch)
            else:
                rows.missing.append({**who, **index_of(part.store, desc, per_epoch), "state": state})
        if trunk.path not in trunks and not fault_of(Part("", trunk)):
            trunks.add(trunk.path)
            full = {**who, "network": "full network", index.column: None, "child": 0}
            rows.training += [{**full, **curve} for curve in curves(trunk, per_epoch)]
    for table in (rows.analyses, rows.pairs, rows.lines, rows.plane, rows.places):
        table.sort(key=lambda row: (row["network"], row[index.column], row["replicate"]))
    return rows


def has_verdict(part: Part) -> bool:
    return (part.store / files.INSTABILITY).exists()


def index_of(here: Store, desc: Any, per_epoch: int) -> Row:
    """Return what the names of directories say of an analysis without a verdict: its k, or its level and density."""
    if isinstance(desc, LotteryDesc):
        level = int(here.path.parent.name.removeprefix(files.LEVEL))
        return {"level": level, "density": desc.density(level)}
    k = Step(here.path.name.removeprefix(files.ANALYSIS))
    return {"k": k.short, "k_epoch": k.iteration(per_epoch) / per_epoch}


def add_analysis(rows: Analyses, here: Store, who: Row, per_epoch: int) -> None:
    verdict = read_verdict(here)
    at = {**who, "k": verdict.k.short, "k_epoch": verdict.k.iteration(per_epoch) / per_epoch}
    at |= {name: getattr(verdict, name) for name in rows.index.from_verdict}
    rows.analyses.append({**at, **verdict.summary(), "state": DONE, **measured(here)})
    distances = (*DISTANCES, *(ALIGNED_DISTANCES if verdict.analysis.align else ()))
    rows.pairs += [
        {**at, "first_child": pair.children[0], "second_child": pair.children[1],
         **flat_barriers(pair.error_barrier, pair.loss_barrier, verdict.treatments),
         **{name: getattr(pair, name) for name in distances}}
        for pair in verdict.pairs
    ]  # fmt: skip
    wanted = asked_for(verdict)
    points = renamed(read_rows(here), verdict.analysis.aligned)
    rows.lines += [{**at, **asdict(row)} for row in points if wanted(row)]
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


def curves(store: Store, per_epoch: int) -> list[Row]:
    """Return accuracy and loss over a training, by epoch, on the test set and, if there is one, the validation set."""
    names = ("test_accuracy", "test_loss", "validation_accuracy", "validation_loss")
    return [
        {"epoch": row["iteration"] / per_epoch, **{name: row[name] for name in names if name in row}}
        for row in store.read_rows(files.METRICS)
    ]
