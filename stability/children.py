"""Networks that start from one state and differ in their SGD noise and in nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from foundations import files
from foundations.run import store_of
from foundations.steps import Step
from foundations.store import Store
from pruning import Mask
from stability.desc import StabilityDesc
from training.hparams import TrainingHparams
from training.imported import load_weights
from training.mask_updates import MaskUpdates
from training.optimizers import make_optimizer, with_hparams
from training.segments import load_network, model_file, train_branch
from training.state import Noise, TrainState
from training.trunk import Trunk


@dataclass(frozen=True, eq=False)
class Children:
    """The children of one state, each in a directory ``child_<n>`` of its own.

    A child's data order and augmentation come from its number, from the first step after ``start`` on. All else,
    the optimizer's state included, is the start's.

    Args:
        here: the directory of the analysis.
        trunk: gives the data, the seeds and the reporter.
        start: makes the state they start from, with the trunk's noise, masked.
        hparams: how they are trained.
        perturbation: see ``StabilityDesc.perturb_hyperparameters``.
        updates: how the mask changes in training from a state, if it does; then each child has one of its own.
    """

    here: Store
    trunk: Trunk
    start: Callable[[], TrainState]
    hparams: TrainingHparams
    perturbation: float = 0.0
    updates: Callable[[TrainState], MaskUpdates | None] = lambda state: None

    def store(self, number: int) -> Store:
        """A child's directory."""
        return self.here.sub(files.child(number))

    def done(self, number: int) -> bool:
        """Whether a child is trained and its network is there."""
        return self.store(number).done and self.store(number).has(self._file)

    def train(self, number: int) -> None:
        """Trains a child that is not done, from the start or from where it was interrupted."""
        if self.done(number):
            return
        context = self.trunk.context
        with self.store(number).lock(context.reporter):
            if self.done(number):  # by another process, meanwhile
                return
            state = self.start()
            state.noise = self.noise(number)
            own = self.hyperparameters(number)
            hparams = replace(self.hparams, lr=own["lr"], weight_decay=own["weight_decay"])
            state.optimizer = with_hparams(state.optimizer, hparams, state.model)  # a weight decay of its own
            store, updates = self.store(number), self.updates(state)

            def conclude(state: TrainState) -> dict[str, Any]:
                if updates is None:
                    return {}
                assert state.mask is not None, "it has been updated"
                state.mask.save(store / files.MASK)
                return updates.summary(store)

            train_branch(store, state, self.trunk.data, hparams, context, conclude, updates)

    def own_mask(self, number: int) -> Mask | None:
        """The mask that a child has ended with, if masks have changed in training."""
        store = self.store(number)
        return Mask.load(store / files.MASK) if store.has(files.MASK) else None

    def files(self, count: int) -> list[str]:
        """What the first ``count`` children, all trained, consist of, by paths within the analysis."""
        names = (files.DONE, files.METRICS, self._file, files.MASK, files.MASK_UPDATES)
        numbers = range(1, count + 1)
        return [f"{files.child(one)}/{name}" for one in numbers for name in names if self.store(one).has(name)]

    def noise(self, number: int) -> Noise:
        """A child's SGD noise."""
        return Noise(self.trunk.seeds, child=(number,))

    def weights(self, number: int) -> dict[str, Tensor]:
        """A trained child's tensors; ``UsageError`` if their file is damaged or another network's."""
        with self.store(number).intact(self._file):
            tensors = self.store(number).read_tensors(self._file)
            self.trunk.fresh().check(tensors)
            return tensors

    def hyperparameters(self, number: int) -> dict[str, float]:
        """Learning rate and weight decay of a child.

        With a perturbation p every child but the first has them drawn from a normal distribution around their
        nominal values, of standard deviation p times those (and taken absolute). That is more than SGD noise;
        Bolwerk's code (2021) does it with p = 0.1.
        """
        nominal = {"lr": self.hparams.lr, "weight_decay": self.hparams.weight_decay}
        if number == 1 or not self.perturbation:
            return nominal
        generator = self.trunk.seeds.generator("perturbed hyperparameters", number)
        factors = (1 + self.perturbation * standard_normal(generator) for _ in nominal)
        return {name: abs(value * factor) for (name, value), factor in zip(nominal.items(), factors, strict=True)}

    @property
    def _file(self) -> str:
        per_epoch = self.trunk.per_epoch
        return files.model(Step.at(self.hparams.training_steps.iteration(per_epoch), per_epoch))


def standard_normal(generator: torch.Generator) -> float:
    """A number from the standard normal distribution."""
    return torch.randn((), generator=generator, dtype=torch.float64).item()


class Start(Protocol):
    """The dense training that an analysis branches from."""

    def state_at(self, k: Step) -> TrainState:
        """The full network's state at ``k``."""

    def full_network_store(self, k: Step) -> Store:
        """Where the full network is trained."""

    def full_network_done(self, k: Step) -> bool:
        """Whether the full network is trained to the end."""

    def full_network(self, k: Step) -> dict[str, Any]:
        """Losses and accuracies of the full network, trained to the end; trains it if need be."""

    def trained(self, k: Step) -> nn.Module:
        """That network."""


@dataclass(frozen=True)
class TrunkStart:
    """The trunk at k. Its end is the full network, whatever k."""

    trunk: Trunk

    def state_at(self, k: Step) -> TrainState:
        return self.trunk.state_at(k)

    def full_network_store(self, k: Step) -> Store:
        return self.trunk.store

    def full_network_done(self, k: Step) -> bool:
        return self.trunk.store.done

    def full_network(self, k: Step) -> dict[str, Any]:
        return self.trunk.finish()

    def trained(self, k: Step) -> nn.Module:
        self.trunk.finish()
        return self.trunk.state_at(self.trunk.desc.training.training_steps).model


@dataclass(frozen=True)
class CheckpointStart:
    """Given weights as the network at k; the optimizer is fresh, since no state of it came with them.

    The full network to compare with is trained from there with the trunk's SGD noise. It belongs to the analysis of
    the full network, which shares it with those of all strategies.
    """

    trunk: Trunk
    desc: StabilityDesc
    tensors: Mapping[str, Tensor]

    def state_at(self, k: Step) -> TrainState:
        state = self.trunk.fresh()
        load_weights(state.model, self.tensors)
        state.iteration = self.trunk.iteration(k)
        return state

    def full_network_done(self, k: Step) -> bool:
        return self.full_network_store(k).done

    def full_network(self, k: Step) -> dict[str, Any]:
        here = self.full_network_store(k)
        if not here.done:
            context, full = self.trunk.context, self.desc.full_network
            run = store_of(full, self.trunk.seeds.replicate, context)
            with run.lock(context.reporter):
                self.trunk.begin(run, full)
            with here.lock(context.reporter):
                if here.done:  # by another process, meanwhile
                    return here.result()
                train_branch(here, self.state_at(k), self.trunk.data, self.trunk.desc.training, context)
        return here.result()

    def trained(self, k: Step) -> nn.Module:
        self.full_network(k)
        state = self.trunk.fresh()
        state.iteration = self.trunk.end
        load_network(self.full_network_store(k), model_file(state, self.trunk.data), state.model)
        return state.model

    def full_network_store(self, k: Step) -> Store:
        run = store_of(self.desc.full_network, self.trunk.seeds.replicate, self.trunk.context)
        return run.sub(files.analysis(k)).sub(files.FULL_NETWORK)


def start_of(desc: StabilityDesc, trunk: Trunk, checkpoint: Mapping[str, Tensor] | None) -> Start:
    """The trunk, or the checkpoint if there is one; one that does not fit the model raises ``UsageError``."""
    if checkpoint is None:
        return TrunkStart(trunk)
    start = CheckpointStart(trunk, desc, checkpoint)
    load_weights(trunk.fresh().model, checkpoint)
    return start


def fresh_optimizer(state: TrainState, trunk: Trunk) -> None:
    """Forgets the optimizer's state."""
    state.optimizer = make_optimizer(trunk.desc.training, state.model)
