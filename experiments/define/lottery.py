"""The lottery-ticket experiment and its branches."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from experiments.define.defaults import Section, Selection, Values, flags_of
from experiments.define.experiment import Experiment, after_end, experiments
from experiments.options import LotteryOptions, StabilityOptions
from experiments.run.measured import with_measurements
from experiments.run.tasks import BranchTask, LevelMaskTask, LevelTask, Task, TrunkTask, trunk_end
from experiments.runs.rows import has_result
from experiments.workspace import Workspace
from foundations import files
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.run import restore_desc
from foundations.steps import Step
from foundations.store import Store
from lottery import Level, LotteryDesc, with_needed
from lottery.branch import Branch, LevelBranch
from lottery.desc import REWIND_WEIGHTS, SubnetworkHparams
from pruning import Mask, PruningHparams
from stability import AnalysisHparams, ChildrenHparams
from stability.branch import Stability as StabilityBranch
from training.segments import load_network


def level_tasks(
    desc: LotteryDesc, replicate: int, levels: Iterable[int], allow_collapse: bool = False
) -> list[LevelTask]:
    """Return the graph of a lottery run: for each level its mask, then its training, on the trunk at k.

    A strategy that scores at the end prunes what the levels before have become, so that these come first.
    """
    run: dict[str, Any] = {"desc": desc, "replicate": replicate, "allow_collapse": allow_collapse}
    at_k, end = TrunkTask(desc=desc.train, replicate=replicate, to=desc.k), trunk_end(desc.train, replicate)
    scored_at_end, rewinds = desc.pruning.score_at == "end", desc.retrain == REWIND_WEIGHTS
    tasks: list[LevelTask] = []
    for level in with_needed(desc, levels):
        if level == 0:  # the full network: it keeps everything, and its training is the trunk's
            mask = LevelMaskTask(**run, level=0)
            start = end
        else:
            mask = LevelMaskTask(**run, level=level, after=(end, *tasks) if scored_at_end else (at_k,))
            start = at_k if rewinds else end
        tasks.append(LevelTask(**run, level=level, after=(mask, start)))
    return tasks


def branch_tasks(
    desc: LotteryDesc, replicate: int, levels: Iterable[int], allow_collapse: bool, branch: Branch
) -> list[BranchTask]:
    """Return the graph of a branch: the level, then its branch, on the steps of the trunk that it reads.

    Other replicates that it reads come before it: their levels, and the same steps of their trunks.
    """
    steps, others = dict.fromkeys((desc.k, *branch.trunk_steps(desc))), branch.replicates()
    trunks = [TrunkTask(desc=desc.train, replicate=one, to=step) for one in (replicate, *others) for step in steps]
    read = {one: level_tasks(desc, one, levels, allow_collapse) for one in others}
    of = {task.level: task for task in level_tasks(desc, replicate, levels, allow_collapse)}
    return [
        BranchTask(
            desc=desc, replicate=replicate, level=level, allow_collapse=allow_collapse, branch=branch,
            after=(of[level], *trunks, *(task for tasks in read.values() for task in tasks if task.level == level)),
        )
        for level in levels
    ]  # fmt: skip


@experiments.register("lottery")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Lottery(Experiment):
    """Train to k, prune, train the subnetwork on; level by level."""

    summary = "Train to step k, prune, and train the subnetwork from k to the end; level n prunes n times over."

    desc: LotteryDesc
    levels: tuple[int, ...]
    allow_collapse: bool = False

    @classmethod
    def sections(cls, selection: Selection, given: Mapping[str, Any]) -> list[Section]:
        own = [
            *selection.shared_sections(),
            selection.section("lottery", LotteryOptions),
            selection.section("subnetworks", SubnetworkHparams),
            selection.section("pruning", PruningHparams),
            *selection.method_sections("strategy", selection.strategy),
        ]
        if selection.criterion is None:
            return own
        of_analyses = (StabilityOptions, ChildrenHparams, AnalysisHparams)
        of_search, *others = (flags_of([Section("", cls)]) for cls in of_analyses)
        hidden = [name for name in of_search if name != "max_k"]
        if selection.criterion.analyses:
            hidden, others = [*flags_of([Section("", LotteryOptions)]), "child"], [["reset_optimizer"], []]
        return [
            *own,
            selection.section("search for k", StabilityOptions, *hidden),
            selection.section("children", ChildrenHparams, *others[0]),
            selection.section("comparison", AnalysisHparams, *others[1]),
            *selection.method_sections("criterion for k", selection.criterion),
        ]

    @classmethod
    def define(cls, session: Workspace, values: Values) -> "Lottery":
        options: LotteryOptions = values.build(LotteryOptions)
        return cls(
            session=session, replicate=values.replicate, desc=lottery_desc(session, values, options),
            levels=tuple(sorted(set(options.levels))), allow_collapse=options.allow_collapse,
            measure=values.measurements(with_children=values.selection.branch is StabilityBranch),
        )  # fmt: skip

    def joined(self, other: Experiment) -> "Lottery":
        assert isinstance(other, Lottery), "the same experiment"
        return replace(self, levels=tuple(sorted({*self.levels, *other.levels})))

    @property
    def label(self) -> str:
        return f"{self.desc.strategy.name}, k={self.desc.k.short}, replicate {self.replicate}"

    def level(self, number: int) -> Level:
        return self.session.level(self.desc, self.replicate, number, self.allow_collapse)

    def check(self) -> None:
        super().check()
        self.level(0)  # refuses what its data or its model do not bear

    def tasks(self) -> Sequence[Task]:
        return with_measurements(self.level_tasks(), self.measure)

    def level_tasks(self) -> list[LevelTask]:
        return level_tasks(self.desc, self.replicate, self.levels, self.allow_collapse)

    def densities(self) -> Sequence[tuple[str, float]]:
        return [(self.desc.strategy.name, self.desc.density(level)) for level in self.levels if level]

    def done_before(self) -> str:
        return f"All done before: {self.store.path}. Nothing was trained."

    def rows(self) -> list[Row]:
        return [row for row in self.results() if has_result(row)]

    def missing(self) -> list[Row]:
        return [row for row in self.results() if not has_result(row)]

    def results(self) -> list[Row]:
        """Return a row for each level, those that others need included."""
        return self.stored_rows([files.level(number) for number in with_needed(self.desc, self.levels)])

    def ticket(self, level: int = 1) -> tuple[nn.Module, Mask]:
        """Return a level's trained subnetwork, in evaluation mode, and its mask; ``UsageError`` if it is not done."""
        here = self.store.sub(files.level(level))
        if not here.done:
            raise UsageError(f"{here.path}: level {level} is not done; call run() first")
        model = self.level(level).trunk.fresh().model
        place = here / here.result()["model"]
        load_network(Store(place.parent), place.name, model)
        return model.eval(), Mask.load(here / files.MASK, model)


def lottery_desc(session: Workspace, values: Values, options: LotteryOptions) -> LotteryDesc:
    """Return what the result depends on; raise ``UsageError`` if the values do not fit each other."""
    if not options.levels:
        raise UsageError("--levels=: expected level numbers such as 1 or 0-3")
    strategy, train = values.selection.strategy, values.train_desc()
    if strategy is None:
        raise UsageError("--pruning_strategy=none: a lottery run prunes; train and stability have the full network")
    pruning = values.pruning(session.context.root, options.density, max(options.levels))
    if not isinstance(options.k, Step):
        raise UsageError(f"--k: neither the recipe nor {strategy.name} says at which step to prune; give it")
    if options.k.certainly_after(train.training.training_steps):
        by_default = "" if "k" in values.given else " (k is the default here; give a smaller one)"
        raise after_end("k", options.k, train, by_default)
    subnetworks: SubnetworkHparams = values.build(SubnetworkHparams)
    if subnetworks.retrain != REWIND_WEIGHTS and pruning.score_at != "end":
        raise UsageError(
            f"--retrain={subnetworks.retrain}: goes on with a trained network, but --pruning_strategy={strategy.name} "
            "prunes that of step k; give --score_at=end"
        )
    return LotteryDesc(
        train=train, strategy=values.build(strategy), pruning=pruning, k=options.k, **vars(subnetworks)
    )  # fmt: skip


@experiments.register("lottery_branch")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LotteryBranch(Lottery):
    """Levels of a lottery run again, with one thing changed."""

    summary = "Train levels of a lottery run again with one thing changed; the levels come first if they are missing."

    branch: Branch

    @classmethod
    def sections(cls, selection: Selection, given: Mapping[str, Any]) -> list[Section]:
        return [
            *selection.method_sections("branch", selection.branch),
            *Lottery.sections(replace(selection, criterion=None), given),
        ]

    @classmethod
    def define(cls, session: Workspace, values: Values) -> "LotteryBranch":
        chosen = values.selection.branch
        assert chosen is not None, "the command names a branch"
        plain = Lottery.define(session, values)
        return cls(**vars(plain), branch=values.build(chosen))

    @property
    def identity(self) -> Hashable:
        return super().identity, self.branch.key

    def places(self) -> list[Path]:
        return [self.store / files.level(level) / self.branch.key for level in self.levels]

    def to_put_aside(self) -> list[Store]:
        return [Store(place) for place in self.places()]

    def check(self) -> None:
        super().check()
        for number in self.levels:
            LevelBranch(self.level(number), self.branch).check()

    def restore(self) -> None:
        super().restore()
        for number in self.levels:
            branch = LevelBranch(self.level(number), self.branch)
            restore_desc(branch.here, branch.entries, self.session.context)

    def tasks(self) -> Sequence[Task]:
        levels = [task for task in self.level_tasks() if task.level in self.levels]
        branches = branch_tasks(self.desc, self.replicate, self.levels, self.allow_collapse, self.branch)
        return [*levels, *with_measurements(branches, self.measure)]

    def done_before(self) -> str:
        return f"All done before: {self.branch.key} in {self.store.path}. Nothing was trained."

    def opening(self) -> str:
        if all(level.done(self.session) for level in self.level_tasks()):
            return super().opening()
        return f"The levels come before their branches: {self.store.path}"

    def rows(self) -> list[Row]:
        """Return a row for each level whose branch is done, with the level's own accuracy beside."""
        return [row for row in self.results() if "level_accuracy" in row]

    def missing(self) -> list[Row]:
        return [row for row in self.results() if "level_accuracy" not in row]

    def results(self) -> list[Row]:
        levels = self.stored_rows([files.level(number) for number in self.levels])
        branches = self.stored_rows([f"{files.level(number)}/{self.branch.key}" for number in self.levels])
        return [
            {**row, "branch": self.branch.name}
            | ({"level_accuracy": level["test_accuracy"]} if has_result(level) and has_result(row) else {})
            for level, row in zip(levels, branches, strict=True)
        ]
