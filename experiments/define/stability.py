"""The instability analysis as an experiment: one network at one k."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.define.defaults import Section, Selection, Values
from experiments.define.experiment import Experiment, after_end, experiments
from experiments.options import StabilityOptions
from experiments.run.measured import with_measurements
from experiments.run.tasks import (
    AnalysisMaskTask,
    ChildTask,
    ComparisonTask,
    FullNetworkTask,
    Task,
    TrunkTask,
    trunk_end,
)
from experiments.runs.rows import DONE, UNFINISHED
from experiments.workspace import Workspace
from foundations.desc import Desc
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.steps import Step
from pruning import PruningHparams
from stability import AnalysisAtK, AnalysisHparams, ChildrenHparams, StabilityDesc


def analysis_tasks(
    desc: StabilityDesc, replicate: int, k: Step, settings: AnalysisHparams, checkpoint: str | None
) -> tuple[ComparisonTask, list[ChildTask]]:
    """Return the graph of an analysis at k: start, mask, children, and the comparison, which waits for them all.

    Children start from the trunk at k, or from a checkpoint, which nothing has to be computed for; they are compared
    with the full network, trained to the end from there.
    """
    run: dict[str, Any] = {
        "desc": desc, "replicate": replicate, "k": k, "settings": settings, "checkpoint": checkpoint,
    }  # fmt: skip
    start: tuple[Task, ...] = ()
    full: Task = FullNetworkTask(**run)
    if checkpoint is None:
        start = (TrunkTask(desc=desc.train, replicate=replicate, to=k),)
        full = trunk_end(desc.train, replicate)
    mask: tuple[Task, ...] = ()
    if desc.pruning is not None:
        mask = (AnalysisMaskTask(**run, after=(full,) if desc.pruning.score_at == "end" else start),)
    numbers = range(1, settings.children + 1)
    children = [ChildTask(**run, number=number, after=(*start, *mask)) for number in numbers]
    return ComparisonTask(**run, after=(full, *children)), children


@experiments.register("stability")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Stability(Experiment):
    """Children trained from k with different SGD noise, and what lies between them."""

    summary = "Train children from step k with different SGD noise and look at the line between them."

    desc: StabilityDesc
    k: Step
    settings: AnalysisHparams
    checkpoint: str | None = None
    child: int | None = None
    """Train this child alone and compare nothing."""

    @classmethod
    def sections(cls, selection: Selection, given: Mapping[str, Any]) -> list[Section]:
        hidden = () if selection.strategy else ("density",)
        pruning = [selection.section("pruning", PruningHparams)] if selection.strategy else []
        return [
            *selection.shared_sections(),
            selection.section("stability", StabilityOptions, *hidden),
            selection.section("children", ChildrenHparams),
            selection.section("comparison", AnalysisHparams),
            *pruning,
            *selection.method_sections("strategy", selection.strategy),
            *selection.method_sections("criterion for k", selection.criterion),
        ]

    @classmethod
    def define(cls, session: Workspace, values: Values) -> "Stability":
        options: StabilityOptions = values.build(StabilityOptions)
        settings: AnalysisHparams = values.build(AnalysisHparams)
        if options.child and options.child > settings.children:
            settings = replace(settings, children=options.child)
        desc = stability_desc(session, values, options, pruning_of(session, values, options))
        if options.max_k is not None:
            raise UsageError(f"--max_k={options.max_k.short}: applies to --k=auto, which is not given")
        if not isinstance(options.k, Step):
            raise UsageError("--k: the recipe does not say from which step on; give it")
        if options.k.certainly_after(desc.train.training.training_steps):
            raise after_end("k", options.k, desc.train)
        measure = values.measurements(with_children=True)
        if measure and options.child is not None:
            raise UsageError(f"--measure: looks at all children; leave out --child={options.child}")
        return cls(
            session=session, replicate=values.replicate, desc=desc, k=options.k, settings=settings,
            checkpoint=options.checkpoint, child=options.child, measure=measure,
        )  # fmt: skip

    @property
    def identity(self) -> Hashable:
        return super().identity, self.k

    @property
    def label(self) -> str:
        return f"{self.desc.strategy_name}, k={self.k.short}, replicate {self.replicate}"

    def stands_on(self) -> Sequence[Desc]:
        return [*super().stands_on(), *([] if self.checkpoint is None else [self.desc.full_network])]

    @property
    def runner(self) -> AnalysisAtK:
        return self.session.analysis(self.desc, self.replicate, self.k, self.settings, self.checkpoint)

    def check(self) -> None:
        super().check()
        _ = self.runner  # refuses what its data do not bear

    def densities(self) -> Sequence[tuple[str, float]]:
        return [] if self.desc.strategy is None else [(self.desc.strategy_name, self.desc.density)]

    def tasks(self) -> Sequence[Task]:
        about = self.desc, self.replicate, self.runner.k, self.settings, self.checkpoint
        comparison, children = analysis_tasks(*about)
        return with_measurements([comparison], self.measure) if self.child is None else [children[self.child - 1]]

    def done_before(self) -> str:
        return f"Done before: {self.runner.here.path}. Nothing was computed."

    def rows(self) -> list[Row]:
        """Return the row of the analysis, if it has come to a verdict with these settings."""
        return self.results() if self.runner.done else []

    def missing(self) -> list[Row]:
        """Return the row of an analysis without a verdict; one with other settings is none."""
        about = ("strategy", "k", "replicate", "key", "path", "varied", "reason", "state")
        rows = [{name: row[name] for name in about if name in row} for row in self.results() if not self.runner.done]
        return [row | {"state": UNFINISHED} if row["state"] == DONE else row for row in rows]

    def results(self) -> list[Row]:
        return self.stored_rows([self.runner.here.path.name])


def pruning_of(session: Workspace, values: Values, options: StabilityOptions) -> PruningHparams | None:
    """Return how the children's mask is found; None for the full network."""
    return values.pruning(session.context.root, options.density) if values.selection.strategy else None


def stability_desc(
    session: Workspace, values: Values, options: StabilityOptions, pruning: PruningHparams | None
) -> StabilityDesc:
    strategy, train = values.selection.strategy, values.train_desc()
    if options.checkpoint and train.imported:
        raise UsageError(f"--checkpoint and --imported={train.imported} both say where children start; give one")
    return StabilityDesc(
        train=train,
        strategy=values.build(strategy) if strategy else None,
        pruning=pruning,
        **vars(values.build(ChildrenHparams)),
        checkpoint=session.checkpoint(options.checkpoint)[1] if options.checkpoint else "",
    )
