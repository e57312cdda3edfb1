"""One level of a lottery run, and the subnetworks that are trained from it."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from foundations import files
from foundations.context import Context
from foundations.errors import UsageError
from foundations.run import store_of
from foundations.steps import Step
from foundations.store import Store
from lottery.changing_masks import check_changing, conclude_updates, first_mask, mask_updates
from lottery.desc import FINETUNE, REWIND_WEIGHTS, LotteryDesc, at_last_rate, state_of_the_end
from lottery.masks import find_mask, look_for_collapse, record_mask, trained_network
from pruning import ChangingMask, Mask, Strategy, ignored_layers
from pruning.graph import channel_graph
from pruning.prune import check_layers
from pruning.same_function import example_of
from training.hparams import TrainingHparams
from training.mask_updates import MaskUpdates
from training.optimizers import make_optimizer
from training.segments import load_network, train_branch
from training.state import Noise, TrainState
from training.trunk import Trunk


@dataclass(frozen=True, eq=False)
class Level:
    """A density, its mask, and where both lie.

    A strategy that scores at k prunes the trunk at k to the density of each level by itself. One that scores at the
    end prunes what the level before has become, so that its levels need those before them; see :func:`with_needed`.

    Args:
        number: 0 is the full network, that is, the trunk; n keeps ``(1 - pruning_fraction) ** n`` of it.
        desc: the experiment; see :func:`check_lottery`.
        trunk: the dense training that it stands on.
        allow_collapse: train even what has no path left from input to output.
    """

    number: int
    desc: LotteryDesc
    trunk: Trunk
    allow_collapse: bool = False

    @property
    def run(self) -> Store:
        """The directory of the lottery run, in which the levels lie beside each other."""
        return store_of(self.desc, self.trunk.seeds.replicate, self.trunk.context)

    @property
    def here(self) -> Store:
        return self.run.sub(files.level(self.number))

    @cached_property
    def ignored(self) -> set[str]:
        return ignored_layers(self.trunk.fresh().model, self.desc.pruning.layers_to_ignore)

    @property
    def noise(self) -> Noise:
        """The SGD noise of the level's training: that of the trunk, unless it is to have its own."""
        return Noise(self.trunk.seeds, (0, self.number) if self.desc.fresh_noise else ())

    def generator(self, purpose: str) -> torch.Generator:
        return self.trunk.seeds.generator(purpose, self.number)

    def of_replicate(self, replicate: int) -> "Level":
        """Return the same level of another replicate."""
        trunk = self.trunk
        return replace(self, trunk=Trunk(trunk.desc, replicate, trunk.data, trunk.context))

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Begin the run, or go on with it, and hold the level for this process."""
        reporter = self.trunk.context.reporter
        with self.run.lock(reporter):
            self.trunk.begin(self.run, self.desc)
        with self.here.lock(reporter):
            yield

    # The subnetwork ------------------------------------------------------------------------------------------

    @property
    def has_mask(self) -> bool:
        """Whether its mask lies on disk, with its report."""
        return self.here.has(files.MASK) and self.here.has(files.SPARSITY_REPORT)

    def mask(self) -> Mask:
        """Return the level's mask, from disk or found and written down; for who is :meth:`at_work` on it."""
        if not self.has_mask:
            mask = self.find_mask(self.desc.strategy)
            self.record(self.here, mask, self.desc.k, self.desc.train.training, found_by=self._trainings_before())
        return Mask.load(self.here / files.MASK, self.trunk.fresh().model)

    def prune(self) -> None:
        """Find the level's mask, unless it is there."""
        with self.at_work():
            self.mask()

    def find_mask(self, strategy: Strategy) -> Mask:
        """Return what ``strategy`` would keep in the place of the level's own strategy."""
        if self.number == 0:
            return Mask.ones(self.trunk.fresh().model)
        model, before = self._network_to_score()
        return find_mask(
            self.trunk, strategy, self.desc.pruning, model, self.desc.density(self.number), self.number, before
        )  # fmt: skip

    def trained(self) -> nn.Module:
        """Return the level's network at the end of its training."""
        if self.number == 0:
            return trained_network(self.trunk)
        model = self.trunk.fresh().model
        load_network(self.here, self.here.result()["model"], model)
        return model

    def state_at(self, step: Step) -> TrainState:
        """Return the full network at ``step``, with the trunk's optimizer or, if so asked for, a fresh one."""
        state = self.trunk.state_at(step)
        state.noise = self.noise
        if self.desc.reset_optimizer:
            state.optimizer = make_optimizer(self.desc.train.training, state.model)
        return state

    def ticket(self) -> "Ticket":
        """Return the subnetwork as the level trains it, with the mask that its training begins with."""
        training, mask = self.desc.train.training, self.mask()
        if self.desc.retrain == REWIND_WEIGHTS:
            return Ticket(self, self.state_at(self.desc.k), first_mask(self.here, mask), training)
        if self.desc.retrain == FINETUNE:
            training = at_last_rate(training, self.trunk.per_epoch)
        model, _ = self._network_to_score()
        state = state_of_the_end(model, self.trunk, self.desc.k)
        state.noise = self.noise
        return Ticket(self, state, mask, training)

    # Training it ---------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether it is trained and its network is there; that of level 0 is the trunk's."""
        end = files.model(Step.at(self.trunk.end, self.trunk.per_epoch))
        return self.here.done and (self.number == 0 or self.here.has(end))

    def train(self) -> None:
        """Train the level's subnetwork, from its mask on, unless that is done."""
        with self.at_work():
            if self.done:  # by another process, meanwhile
                return
            self.mask()
            if self.number:
                self.train_ticket(self.here, self.ticket(), self.desc.strategy.name)
            else:
                self._repeat_trunk()

    def _repeat_trunk(self) -> None:
        """Finish level 0, which is trained in the trunk's directory."""
        result = self.trunk.finish()
        self.here.write_rows(files.METRICS, self.trunk.metrics())
        # A relative path, so that a root can be moved.
        model = os.path.relpath(self.trunk.model_path(self.desc.train.training.training_steps), self.here.path)
        result = {**self._about(self.here), **result, "model": model}
        self.here.finish(result, model, files.METRICS, files.MASK, files.SPARSITY_REPORT)

    def train_ticket(self, here: Store, ticket: "Ticket", method: str, trainings: int = 1) -> None:
        """Train a subnetwork to the end, or go on with that, and mark ``here`` as done.

        It is the last of so many trainings of it, which its report counts.
        """
        data, context = self.trunk.data, self.trunk.context
        if not (here.has(files.MASK) and here.has(files.SPARSITY_REPORT)):
            start = Step.at(ticket.state.iteration, data.iterations_per_epoch)
            self.record(here, ticket.mask, start, ticket.training, self._trainings_before(), trainings)
        look_for_collapse(here, method, context.reporter, allow=self.allow_collapse)
        updates = self.updates(ticket.state.iteration, ticket.training)
        ticket.state.prune(first_mask(here, Mask.load(here / files.MASK, ticket.state.model)))
        if self.desc.compact:
            shape = data.shape
            ticket.state.compact(ticket.training, example_of(shape.channels, shape.height, shape.width))

        def conclude(state: TrainState) -> dict[str, Any]:
            if updates is None:
                return self._about(here)
            history = conclude_updates(here, state, updates, self.trunk, found_by=self._trainings_before())
            return {**self._about(here), **history}

        train_branch(here, ticket.state, data, ticket.training, context, conclude, updates)

    def updates(self, start: int, training: TrainingHparams) -> MaskUpdates | None:
        """Return how the mask of a subnetwork changes that is trained from iteration ``start`` on, if it does."""
        return mask_updates(
            self.trunk, self.desc.strategy, self.desc.pruning, self.desc.density(self.number), self.number,
            start=start, end=self.trunk.iteration(training.training_steps),
        )  # fmt: skip

    def record(
        self, here: Store, mask: Mask, start: Step, training: TrainingHparams, found_by: int, trainings: int = 1
    ) -> None:
        record_mask(
            here, mask, self.trunk.fresh().model, self.trunk, self.desc.pruning,
            start=self.trunk.iteration(start), end=self.trunk.iteration(training.training_steps), found_by=found_by,
            trainings=trainings,
        )  # fmt: skip

    def _about(self, here: Store) -> dict[str, Any]:
        """Return what ``done.json`` says beside losses and accuracies."""
        return {"level": self.number, "density": here.read_json(files.SPARSITY_REPORT)["density"]}

    # What the strategy looks at ------------------------------------------------------------------------------

    def _network_to_score(self) -> tuple[nn.Module, Mask | None]:
        """Return the network that is scored, and the mask that the level's starts from."""
        if self.desc.pruning.score_at == "k":
            return self.trunk.state_at(self.desc.k).model, None
        below = replace(self, number=self.number - 1)
        return below.trained(), below.mask() if below.number else None

    def _trainings_before(self) -> int:
        """Return the multiply-adds of the trainings that the level's mask was found by."""
        if not self.number or self.desc.pruning.score_at == "k":
            return 0
        levels = [replace(self, number=lower) for lower in range(self.number)]
        for level in levels:
            level.mask()
        costs = [level.here.read_json(files.SPARSITY_REPORT)["training_multiply_adds"] for level in levels]
        return int(costs[0]["pretraining"]) + sum(int(cost["subnetwork"]) for cost in costs)


@dataclass(frozen=True, eq=False)
class Ticket:
    """A subnetwork about to be trained.

    Args:
        level: the level that it belongs to.
        state: the network, not masked yet, its optimizer and its step.
        mask: the weights it keeps.
        training: how it is trained, and to which step.
    """

    level: Level
    state: TrainState
    mask: Mask
    training: TrainingHparams


def check_lottery(desc: LotteryDesc, trunk: Trunk) -> None:
    """Raise ``UsageError`` for an experiment that its data or its model do not allow: before anything is trained."""
    trunk.check_step("k", desc.k)
    check_layers(trunk.fresh().model, desc.pruning)
    check_changing(desc.strategy, desc.pruning, trunk, desc.k)
    if desc.compact:
        if isinstance(desc.strategy, ChangingMask):
            name = desc.strategy.name
            raise UsageError(f"--compact: the mask of --pruning_strategy={name} changes in training; leave it out")
        check_compactable(trunk.fresh().model, trunk.context)


def with_needed(desc: LotteryDesc, levels: Iterable[int]) -> list[int]:
    """Return ``levels`` in order, with those that must be trained before them."""
    asked_for = set(levels)
    below = range(max(asked_for)) if desc.pruning.score_at == "end" else ()
    return sorted({*asked_for, *below})


def check_compactable(model: nn.Module, context: Context) -> None:
    """Say, once, how many channels ``--compact`` may take out.

    Raises:
        UsageError: there is none, or the model cannot be traced.
    """
    try:
        graph = channel_graph(model)
    except UsageError as error:
        raise UsageError(f"--compact: {error}; leave the flag out") from error
    name, (removable, hidden) = type(model).__name__, graph.channels_outside(graph.whole)
    if not removable:
        held = f": {why} must have all of theirs" if (why := graph.why(graph.whole)) else ""
        raise UsageError(f"--compact: none of the {hidden} hidden channels of {name} can go{held}; leave the flag out")
    if (check_compactable, name) not in context.reported:
        context.reported.add((check_compactable, name))
        context.reporter.say(f"--compact: {removable} of the {hidden} hidden channels of {name} may go")
