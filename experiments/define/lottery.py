"""The lottery-ticket experiment and its branches."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from experiments.define.defaults import Section, Selection, Values, flags_of
from experiments.define.experiment import Experiment, Row, after_end, experiments
from experiments.define.search import Search, Searchable
from experiments.define.stability import search_for, stability_desc
from experiments.options import LotteryOptions, StabilityOptions
from experiments.report.naming import effective_density, state_of
from experiments.run.tasks import BranchTask, LevelTask, Task
from experiments.workspace import Workspace
from foundations import files
from foundations.errors import UsageError
from foundations.run import restore_desc
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc, LotteryRunner, with_needed
from lottery.branch import Branch, BranchRunner
from lottery.desc import REWIND_WEIGHTS
from pruning import Mask, PruningHparams
from stability import AnalysisHparams
from training.segments import load_network


@experiments.register("lottery")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Lottery(Searchable):
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
            selection.section("pruning", PruningHparams),
            *selection.method_sections("strategy", selection.strategy),
        ]
        if selection.criterion is None:
            return own
        of_search, of_analyses = flags_of([Section("", StabilityOptions)]), flags_of([Section("", AnalysisHparams)])
        hidden = [name for name in of_search if name != "max_k"]
        if selection.criterion.analyses:
            hidden, of_analyses = [*flags_of([Section("", LotteryOptions)]), "child"], []
        return [
            *own,
            selection.section("search for k", StabilityOptions, *hidden),
            selection.section("comparison", AnalysisHparams, *of_analyses),
            *selection.method_sections("criterion for k", selection.criterion),
        ]

    @classmethod
    def define(cls, session: Workspace, values: Values) -> "Lottery":
        options: LotteryOptions = values.build(LotteryOptions)
        return cls(
            session=session, replicate=values.replicate, desc=lottery_desc(session, values, options),
            levels=tuple(sorted(set(options.levels))), allow_collapse=options.allow_collapse,
        )  # fmt: skip

    @classmethod
    def search(cls, session: Workspace, values: Values) -> Search:
        """The search for the smallest k at which the subnetworks of the last level are what the criterion wants."""
        options: LotteryOptions = values.build(LotteryOptions)
        last = max(options.levels, default=0)
        if last == 0:
            raise UsageError(f"--k={options.k}: --levels=0 prunes nothing")
        pruning, looked_at = values.pruning(session.context.root, options.density, last), values.build(StabilityOptions)
        fraction = pruning.pruning_fraction if last == 1 else 1 - float((1 - pruning.pruning_fraction) ** last)
        asked = replace(looked_at, reset_optimizer=options.reset_optimizer)
        desc = stability_desc(session, values, asked, replace(pruning, pruning_fraction=fraction))
        return search_for(session, values, asked, desc, lambda k: cls.define(session, values.at(k)))

    def joined(self, other: Experiment) -> "Lottery":
        assert isinstance(other, Lottery), "the same experiment"
        return replace(self, levels=tuple(sorted({*self.levels, *other.levels})))

    @property
    def label(self) -> str:
        return f"{self.desc.strategy.name}, k={self.desc.k.short}, replicate {self.replicate}"

    @property
    def runner(self) -> LotteryRunner:
        """What finds its masks and trains its levels."""
        return self.session.lottery_runner(self.desc, self.replicate, self.allow_collapse)

    def check(self) -> None:
        super().check()
        _ = self.runner  # refuses what its data or its model do not bear

    def tasks(self) -> Sequence[Task]:
        return [self._level(number) for number in with_needed(self.desc, self.levels)]

    def _level(self, number: int) -> LevelTask:
        return LevelTask(desc=self.desc, replicate=self.replicate, level=number, allow_collapse=self.allow_collapse)

    def densities(self) -> Sequence[tuple[str, float]]:
        return [(self.desc.strategy.name, self.desc.density(level)) for level in self.levels if level]

    def done_before(self) -> str:
        return f"All done before: {self.store.path}. Nothing was trained."

    def rows(self) -> list[Row]:
        """A row for each level that is done, those that had to be trained before others included."""
        found = []
        for number in with_needed(self.desc, self.levels):
            here = self.store.sub(files.level(number))
            if here.done:
                found.append(self.row(here.result(), here))
        return found

    def missing(self) -> list[Row]:
        wanted = {number: self.store.sub(files.level(number)) for number in with_needed(self.desc, self.levels)}
        return [self.row(self._planned(number), here) for number, here in wanted.items() if not here.done]

    def _planned(self, level: int) -> Row:
        """What is known of a level before it is trained."""
        return {"level": level, "density": self.desc.density(level)}

    def row(self, result: Row, here: Store) -> Row:
        """The results of a level or branch, with what the experiment is and how it ended."""
        return {
            **result, "strategy": self.desc.strategy.name, "k": self.desc.k.short, "replicate": self.replicate,
            "key": self.desc.key, "path": here.path, "varied": self.shown, "state": state_of(here),
            "effective_density": effective_density(here),
        }  # fmt: skip

    def ticket(self, level: int = 1) -> tuple[nn.Module, Mask]:
        """A level's trained subnetwork, in evaluation mode, and its mask; ``UsageError`` if it is not done."""
        here = self.store.sub(files.level(level))
        if not here.done:
            raise UsageError(f"{here.path}: level {level} is not done; call run() first")
        model = self.runner.trunk.fresh().model
        place = here / here.result()["model"]
        load_network(Store(place.parent), place.name, model)
        return model.eval(), Mask.load(here / files.MASK, model)


def lottery_desc(session: Workspace, values: Values, options: LotteryOptions) -> LotteryDesc:
    """What the result depends on; ``UsageError`` if the values do not fit each other."""
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
    if options.retrain != REWIND_WEIGHTS and pruning.score_at != "end":
        raise UsageError(
            f"--retrain={options.retrain}: goes on with a trained network, but --pruning_strategy={strategy.name} "
            "prunes that of step k; give --score_at=end"
        )
    return LotteryDesc(
        train=train, strategy=values.build(strategy), pruning=pruning, k=options.k,
        reset_optimizer=options.reset_optimizer, compact=options.compact, retrain=options.retrain,
    )  # fmt: skip


@experiments.register("lottery_branch")
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LotteryBranch(Lottery):
    """Levels of a lottery run again, with one thing changed."""

    summary = "Trains levels of a lottery run again with one thing changed; the levels come first if they are missing."

    branch: Branch

    @classmethod
    def sections(cls, selection: Selection, given: Mapping[str, Any]) -> list[Section]:
        return [
            *selection.method_sections("branch", selection.branch),
            *Lottery.sections(replace(selection, criterion=None), given),
        ]

    @classmethod
    def search(cls, session: Workspace, values: Values) -> Search:
        raise UsageError(f"--k={values.given['k']}: find the step by stability or lottery, then give it here")

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
        branches = BranchRunner(self.runner, self.branch)
        for level in self.levels:
            branches.verify(level)

    def restore(self) -> None:
        super().restore()
        branches = BranchRunner(self.runner, self.branch)
        for level in self.levels:
            restore_desc(branches.here(level), branches.entries, self.session.context)

    def tasks(self) -> Sequence[Task]:
        return [
            BranchTask(
                desc=self.desc, replicate=self.replicate, level=level, allow_collapse=self.allow_collapse,
                branch=self.branch,
            )
            for level in self.levels
        ]  # fmt: skip

    def done_before(self) -> str:
        return f"All done before: {self.branch.key} in {self.store.path}. Nothing was trained."

    def opening(self) -> str:
        if all(self._level(number).done(self.session) for number in with_needed(self.desc, self.levels)):
            return super().opening()
        return f"The levels come before their branches: {self.store.path}"

    def rows(self) -> list[Row]:
        """A row for each level whose branch is done, with the level's own accuracy beside."""
        found = []
        for number in self.levels:
            level = self.store.sub(files.level(number))
            here = level.sub(self.branch.key)
            if here.done and level.done:
                beside = {"branch": self.branch.name, "level_accuracy": level.result()["test_accuracy"]}
                found.append({**self.row(here.result(), here), **beside})
        return found

    def missing(self) -> list[Row]:
        found = []
        for number in self.levels:
            level = self.store.sub(files.level(number))
            here = level.sub(self.branch.key)
            if not (here.done and level.done):
                found.append({**self.row(self._planned(number), here), "branch": self.branch.name})
        return found
