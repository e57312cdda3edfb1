"""One level of a lottery run, and the subnetworks that are trained from it."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foundations import files
from foundations.context import Context
from foundations.errors import UsageError
from foundations.run import store_of
from foundations.steps import Step
from foundations.store import Store
from lottery.changing_masks import check_changing, conclude_updates, load_first_mask, mask_updates
from lottery.desc import FINETUNE, REWIND_WEIGHTS, LotteryDesc, at_last_rate, state_of_the_end
from lottery.masks import find_mask, look_for_collapse, record_mask, trunk_network
from pruning import ChangingMask, Mask, Strategy, ignored_layers
from pruning.graph import channel_graph
from pruning.prune import check_layers
from pruning.same_function import example_of
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.mask_updates import MaskUpdates
from training.optimizers import make_optimizer
from training.segments import load_network, train_branch
from training.state import TrainState
from training.trunk import Trunk


@dataclass(frozen=True, eq=False)
class Level:
    """A density, its mask, and where both lie.

    Args:
        number: 0 is the full network; n keeps ``(1 - pruning_fraction) ** n`` of it.
        run: the directory of the lottery run, in which the levels lie beside each other.
        desc: the experiment.
        trunk: the dense training that it stands on.
        allow_collapse: train even what has no path left from input to output.
    """

    number: int
    run: Store
    desc: LotteryDesc
    trunk: Trunk
    allow_collapse: bool = False

    @property
    def here(self) -> Store:
        """The directory of this level."""
        return self.run.sub(files.level(self.number))

    @cached_property
    def ignored(self) -> set[str]:
        """The layers that pruning leaves alone."""
        return ignored_layers(self.trunk.fresh().model, self.desc.pruning.layers_to_ignore)

    def generator(self, purpose: str) -> torch.Generator:
        """Random numbers of this replicate and level."""
        return self.trunk.seeds.generator(purpose, self.number)

    # The subnetwork ------------------------------------------------------------------------------------------

    @property
    def has_mask(self) -> bool:
        """Whether its mask lies on disk, with its report."""
        return self.here.has(files.MASK) and self.here.has(files.SPARSITY_REPORT)

    def mask(self) -> Mask:
        """The level's mask, from disk or found and written down."""
        if not self.has_mask:
            mask = self.find_mask(self.desc.strategy)
            self.record(self.here, mask, self.desc.k, self.desc.train.training, found_by=self._trainings_before())
        return Mask.load(self.here / files.MASK, self.trunk.fresh().model)

    def first_mask(self) -> Mask:
        """The mask that its training begins with: the level's, unless that has changed in training."""
        self.mask()
        return load_first_mask(self.here, self.trunk.fresh().model)

    def sparsity_report(self) -> dict[str, Any]:
        """The report of its mask, from disk or found and written down."""
        self.mask()
        return self.here.read_json(files.SPARSITY_REPORT)

    def find_mask(self, strategy: Strategy) -> Mask:
        """What ``strategy`` would keep in the place of the level's own strategy."""
        if self.number == 0:
            return Mask.ones(self.trunk.fresh().model)
        model, before = self._network_to_score()
        return find_mask(
            self.trunk, strategy, self.desc.pruning, model, self.desc.density(self.number), self.number, before
        )  # fmt: skip

    def state_at(self, step: Step) -> TrainState:
        """The full network at ``step``, with the trunk's optimizer or, if the experiment says so, a fresh one."""
        state = self.trunk.state_at(step)
        if self.desc.reset_optimizer:
            state.optimizer = make_optimizer(self.desc.train.training, state.model)
        return state

    def ticket(self) -> "Ticket":
        """The subnetwork as the level trains it."""
        training = self.desc.train.training
        if self.desc.retrain == REWIND_WEIGHTS:
            return Ticket(self, self.state_at(self.desc.k), self.first_mask(), training)
        if self.desc.retrain == FINETUNE:
            training = at_last_rate(training, self.trunk.per_epoch)
        model, _ = self._network_to_score()
        return Ticket(self, state_of_the_end(model, self.trunk, self.desc.k), self.mask(), training)

    # Training it ---------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Trains the level's subnetwork; level 0 is the trunk."""
        if self.number:
            self.train_ticket(self.here, self.ticket(), self.desc.strategy.name)
            return
        self.mask()
        result = self.trunk.finish()
        # It is trained in the trunk's directory; only its metrics are repeated here.
        self.here.write_rows(files.METRICS, self.trunk.metrics())
        # A relative path, so that a root can be moved.
        model = os.path.relpath(self.trunk.model_path(self.desc.train.training.training_steps), self.here.path)
        result = {**self._about(self.here), **result, "model": model}
        self.here.finish(result, model, files.METRICS, files.MASK, files.SPARSITY_REPORT)

    def train_ticket(self, here: Store, ticket: "Ticket", method: str) -> None:
        """Trains a subnetwork to the end, or goes on with that, and marks ``here`` as done.

        Args:
            here: the directory of the level or of its branch.
            ticket: what is trained.
            method: what has pruned it, for messages.
        """
        data, context = self.trunk.data, self.trunk.context
        if not (here.has(files.MASK) and here.has(files.SPARSITY_REPORT)):
            start = Step.at(ticket.state.iteration, data.iterations_per_epoch)
            self.record(here, ticket.mask, start, ticket.training, found_by=self._trainings_before())
        look_for_collapse(here, method, context.reporter, allow=self.allow_collapse)
        updates = self.updates(ticket.state.iteration, ticket.training)
        ticket.state.prune(load_first_mask(here, ticket.state.model))
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
        """How the mask of a subnetwork changes that is trained from iteration ``start`` on, if it does."""
        return mask_updates(
            self.trunk, self.desc.strategy, self.desc.pruning, self.desc.density(self.number), self.number,
            start=start, end=self.trunk.iteration(training.training_steps),
        )  # fmt: skip

    def record(self, here: Store, mask: Mask, start: Step, training: TrainingHparams, found_by: int) -> None:
        """Writes a mask and its sparsity report."""
        record_mask(
            here, mask, self.trunk.fresh().model, self.trunk, self.desc.pruning,
            start=self.trunk.iteration(start), end=self.trunk.iteration(training.training_steps), found_by=found_by,
        )  # fmt: skip

    def _about(self, here: Store) -> dict[str, Any]:
        """What ``done.json`` says beside losses and accuracies."""
        return {"level": self.number, "density": here.read_json(files.SPARSITY_REPORT)["density"]}

    # What the strategy looks at ------------------------------------------------------------------------------

    def _network_to_score(self) -> tuple[nn.Module, Mask | None]:
        """The network that is scored, and the mask that the level's starts from."""
        if self.number == 1 or self.desc.pruning.score_at == "k":
            return trunk_network(self.trunk, self.desc.pruning, self.desc.k), None
        below = self.below(self.number - 1)
        model = self.trunk.fresh().model
        load_network(below.here, Path(below.here.result()["model"]).name, model)
        return model, below.mask()

    def below(self, number: int) -> "Level":
        """Another level of the same run."""
        return replace(self, number=number)

    def _trainings_before(self) -> int:
        """Multiply-adds of the trainings that the level's mask was found by."""
        if not self.number or self.desc.pruning.score_at == "k":
            return 0
        costs = [self.below(lower).sparsity_report()["training_multiply_adds"] for lower in range(self.number)]
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


class LotteryRunner:
    """Level 0 is the full network, that is, the trunk; level n keeps ``(1 - pruning_fraction) ** n`` of it.

    A strategy that scores at k prunes the trunk at k to the density of each level by itself. One that scores at the
    end prunes what the level before has become, so that its levels need those before them; see :func:`with_needed`.
    """

    def __init__(
        self, desc: LotteryDesc, replicate: int, data: TrainingData, context: Context, allow_collapse: bool = False
    ) -> None:
        self.desc, self.replicate, self.data, self.context = desc, replicate, data, context
        self.allow_collapse = allow_collapse
        self.trunk = Trunk(desc.train, replicate, data, context)
        self.trunk.check_step("k", desc.k)
        check_layers(self.trunk.fresh().model, desc.pruning)
        check_changing(desc.strategy, desc.pruning, self.trunk, desc.k)
        if desc.compact:
            if isinstance(desc.strategy, ChangingMask):
                name = desc.strategy.name
                raise UsageError(f"--compact: the mask of --pruning_strategy={name} changes in training; leave it out")
            check_compactable(self.trunk.fresh().model, context)
        self.store = store_of(desc, replicate, context)

    def level(self, number: int) -> Level:
        """One of the levels."""
        return Level(number, self.store, self.desc, self.trunk, self.allow_collapse)

    def has_mask(self, number: int) -> bool:
        """Whether a level's mask lies on disk."""
        return self.level(number).has_mask

    def find_mask(self, number: int) -> None:
        """Finds a level's mask if it is not there yet."""
        with self.at_work(files.level(number)):
            self.level(number).mask()

    def done(self, number: int) -> bool:
        """Whether a level is trained and its network is there; that of level 0 is the trunk's."""
        here, end = self.level(number).here, Step.at(self.trunk.end, self.trunk.per_epoch)
        return here.done and (number == 0 or here.has(files.model(end)))

    def train(self, number: int) -> None:
        """Trains a level that is not trained yet, from its mask on."""
        with self.at_work(files.level(number)):
            if not self.done(number):  # by another process, meanwhile
                self.level(number).train()

    @contextlib.contextmanager
    def at_work(self, part: str) -> Iterator[Store]:
        """Begins the run, or goes on with it, and holds one of its parts for this process."""
        with self.store.lock(self.context.reporter):
            self.trunk.begin(self.store, self.desc)
        here = self.store.sub(part)
        with here.lock(self.context.reporter):
            yield here


def with_needed(desc: LotteryDesc, levels: Iterable[int]) -> list[int]:
    """``levels`` in order, with those that must be trained before them."""
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
