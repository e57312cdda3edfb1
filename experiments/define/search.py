"""Experiments whose k a criterion has to find first, and the cost of finding it."""

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

from experiments.define.defaults import Values
from experiments.define.experiment import Experiment
from experiments.define.lottery import Lottery
from experiments.define.stability import Stability, pruning_of, stability_desc
from experiments.options import LotteryOptions, StabilityOptions
from experiments.run.engine import Failed, Failure, run_plan
from experiments.run.plan import make_plan
from experiments.run.tasks import CurveTask
from experiments.workspace import Workspace
from foundations import files
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from lottery import SubnetworkHparams
from lottery.masks import find_mask
from pruning import PruningHparams, prunable
from pruning.weight_use import output_positions
from stability import AnalysisAtK, AnalysisHparams, StabilityDesc
from stability.criteria import AlongTrunk, Answer, Criterion, Question
from training.trunk import Trunk

PASSES = 3
"""Forward passes that a step costs an example: one forward, two backward (inputs and weights)."""


def search_cost(runner: AnalysisAtK, answer: Answer) -> dict[str, int]:
    """Return the multiply-adds of what a criterion needed, and of one whole dense training.

    As in ``sparsity_report.json``, a step of training costs three forward passes an example, and a pruned weight
    nothing. Analyses need the whole dense training, which their children are compared with.

    Args:
        runner: an analysis of the network.
        answer: what was found, or that nothing was.
    """
    trunk, desc = runner.trunk, runner.desc
    dense = PASSES * dense_multiply_adds(trunk)
    to = answer.trained_to or answer.k or Step(0)
    reached = trunk.end if answer.analyses else trunk.iteration(to)
    masks = answer.masks + (len(answer.analyses) if desc.strategy else 0)
    return {
        "trunk": dense * trunk.examples_seen(reached),
        "children": sum(of_children(analysis, dense) for analysis in answer.analyses),
        "scores": masks * of_scores(trunk, desc) if masks else 0,
        "dense_training": dense * trunk.examples_seen(trunk.end),
    }


def dense_multiply_adds(trunk: Trunk) -> int:
    """Return those of one image's forward pass through the full network."""
    model = trunk.fresh().model
    positions = output_positions(model, trunk.data.shape)
    return sum(weight.numel() * positions[name] for name, weight in prunable(model).items())


def of_children(analysis: AnalysisAtK, dense: int) -> int:
    """Return those of an analysis's trainings from k on.

    Args:
        analysis: completed.
        dense: multiply-adds of training the full network on one example.
    """
    trunk = analysis.trunk
    if analysis.here.has(files.SPARSITY_REPORT):
        one = int(analysis.here.read_json(files.SPARSITY_REPORT)["training_multiply_adds"]["subnetwork"])
    else:
        one = dense * (trunk.examples_seen(trunk.end) - trunk.examples_seen(trunk.iteration(analysis.k)))
    return analysis.settings.children * one


def of_scores(trunk: Trunk, desc: StabilityDesc) -> int:
    """Return those of one mask, counted by PyTorch, forward and backward, in the strategy's equal iterations.

    One iteration is what two cost more than one, so that what is looked at once does not count.
    """
    strategy, pruning = desc.strategy, desc.pruning
    assert strategy is not None, "there are masks"
    assert pruning is not None
    silent = copy.copy(trunk)
    silent.context = replace(trunk.context, reporter=Reporter())

    def operations(iterations: int) -> int:
        with FlopCounterMode(display=False) as counter:
            hparams = replace(pruning, pruning_iterations=iterations)
            find_mask(silent, strategy, hparams, trunk.fresh().model, desc.density)
        return int(counter.get_total_flops())

    return pruning.pruning_iterations * (operations(2) - operations(1)) // 2  # a multiply-add counts as two operations


@dataclass(kw_only=True, eq=False, repr=False)
class Search:
    """The search for the step k of a network, and what is wanted at it.

    Args:
        session: where and how it is computed.
        criterion: finds the step.
        analysis: the instability analysis of the network at a step.
        experiment: what is wanted at the k that is found; None if the analyses are, or else the one at k.
        identity: equal for two searches that are the same.
        max_k: the largest step that may be found.
    """

    session: Workspace
    criterion: Criterion
    analysis: Callable[[Step], Stability]
    experiment: Callable[[Step], Experiment] | None
    identity: Hashable
    max_k: Step | None
    answer: Answer | None = field(default=None, init=False)

    def __repr__(self) -> str:
        answer = "still to be run" if self.answer is None else self.answer.k.short if self.answer.k else "none found"
        return f"<Search: k={self.criterion.name}, {answer}>"

    def run(self) -> list[Failure]:
        """Compute what the criterion asks for and keep its answer, once; return the tasks that failed."""
        if self.answer is not None:
            return []
        question = Question(self._at, self._complete, self._follow, self.max_k, self.session.context.reporter)
        try:
            self.answer = self.criterion.find(question)
        except Failed as failed:
            self.answer = Answer(None)
            return failed.failures
        if self.answer.rests_on_something:
            self._record(self.answer)
        return []

    def check(self) -> None:
        """Raise ``UsageError`` if there is nothing to be found. Data are read here, and nothing is computed."""
        network = self.network
        self.session.check(network.store, network.desc)
        self.criterion.check(network, self.max_k)

    @property
    def found(self) -> bool:
        return self.answer is not None and self.answer.k is not None

    @property
    def analyses(self) -> Sequence[Stability]:
        """The analyses that the answer rests on."""
        return () if self.answer is None else [self.analysis(runner.k) for runner in self.answer.analyses]

    @property
    def experiments(self) -> Sequence[Experiment]:
        """What has come of it: the experiment at k, or the analyses; ``UsageError`` before it is run."""
        if self.answer is None:
            name = self.criterion.name
            raise UsageError(f"--k={name}: the run's directory depends on the k that is found; give that k")
        if self.experiment is None and self.answer.analyses:
            return self.analyses
        wanted = self.experiment or self.analysis
        return [] if self.answer.k is None else [wanted(self.answer.k)]

    @property
    def network(self) -> AnalysisAtK:
        """An analysis of the network, of which nothing need be computed."""
        return self._at(Step("0ep"))

    @property
    def store(self) -> Store:
        return self.network.store.sub(self.criterion.key)

    def _record(self, answer: Answer) -> None:
        network, k = self.network, answer.k
        found = None if k is None else str(Step.at(network.trunk.iteration(k), network.trunk.per_epoch))
        with self.session.computing():
            cost = search_cost(network, answer)
        about = {"criterion": self.criterion.name, "settings": self.criterion.to_dict()}
        entries = {**about, "k": found, "multiply_adds": cost}
        if not (self.store.has(files.SEARCH) and self.store.read_json(files.SEARCH) == entries):
            network.begin()
            self.store.write_json(files.SEARCH, entries)

    def _at(self, k: Step) -> AnalysisAtK:
        return self.analysis(k).runner

    def _complete(self, runner: AnalysisAtK) -> None:
        analysis = self.analysis(runner.k)
        analysis.check()
        if analysis.done:
            self.session.context.reporter.say(analysis.done_before())
        elif failures := analysis.run():
            raise Failed(failures)

    def _follow(self, criterion: Criterion) -> Mapping[str, Any]:
        network = self.network
        assert isinstance(criterion, AlongTrunk), "no other criterion asks for it"
        task = CurveTask(
            desc=network.desc, replicate=network.trunk.seeds.replicate, criterion=criterion,
            limit=criterion.limit(network, self.max_k),
        )  # fmt: skip
        if failures := run_plan(make_plan([task], self.session), self.session):
            raise Failed(failures)
        return self.store.read_json(files.CURVE)


def make_search(kind: type[Experiment], session: Workspace, values: Values) -> Search:
    """Return the search for the step that ``values`` leave to a criterion, for an experiment of a kind.

    A lottery run wants the smallest k at which the subnetworks of its last level are what the criterion looks for.
    """
    experiment: Callable[[Step], Experiment] | None = None
    measure = values.measurements(with_children=True) if kind is Stability else ()
    if kind is Stability:
        options: StabilityOptions = values.build(StabilityOptions)
        pruning = pruning_of(session, values, options)
    elif kind is Lottery:
        options, pruning = of_last_level(session, values)
        experiment = partial(lottery_at, session, values)
    else:
        raise UsageError(f"--k={values.given['k']}: find the step by stability or lottery, then give it here")
    desc = stability_desc(session, values, options, pruning)
    if kind is Lottery:
        desc = replace(desc, reset_optimizer=values.build(SubnetworkHparams).reset_optimizer)
    chosen = values.selection.criterion
    assert chosen is not None, "k has the name of one"
    for flag, value in (("checkpoint", options.checkpoint), ("imported", desc.train.imported)):
        if value:
            raise UsageError(f"--k={chosen.name}: --{flag} is the network at one k; give that k")
    if options.max_k is not None and options.max_k.certainly_after(desc.train.training.training_steps):
        raise UsageError(f"--max_k={options.max_k.short}: beyond the end of training")
    settings: AnalysisHparams = values.build(AnalysisHparams)

    def analysis(k: Step) -> Stability:
        about: dict[str, Any] = {"session": session, "replicate": values.replicate, "measure": measure}
        return Stability(**about, desc=desc, k=k, settings=settings)

    return Search(
        session=session, criterion=values.build(chosen), analysis=analysis, experiment=experiment, max_k=options.max_k,
        identity=(chosen.name, desc.key, values.replicate, str(sorted(values.given.items()))),
    )  # fmt: skip


def lottery_at(session: Workspace, values: Values, k: Step) -> Lottery:
    return Lottery.define(session, values.at(k))


def of_last_level(session: Workspace, values: Values) -> tuple[StabilityOptions, PruningHparams]:
    """Return how the subnetworks of a lottery run's last level are analysed, and pruned at once."""
    options: LotteryOptions = values.build(LotteryOptions)
    last = max(options.levels, default=0)
    if last == 0:
        raise UsageError(f"--k={options.k}: --levels=0 prunes nothing")
    pruning = values.pruning(session.context.root, options.density, last)
    fraction = pruning.pruning_fraction if last == 1 else 1 - float((1 - pruning.pruning_fraction) ** last)
    return values.build(StabilityOptions), replace(pruning, pruning_fraction=fraction)
