"""Networks that start from one state and differ in their SGD noise and in nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from foundations import files
from foundations.steps import Step
from foundations.store import Store
from pruning import Mask
from training.hparams import TrainingHparams
from training.mask_updates import MaskUpdates
from training.optimizers import with_hparams
from training.segments import train_branch
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
        return self.here.sub(files.child(number))

    def done(self, number: int) -> bool:
        return self.store(number).done and self.store(number).has(self._file)

    def train(self, number: int) -> None:
        """Train a child that is not done, from the start or from where it was interrupted."""
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
        """Return the mask that a child has ended with, if masks have changed in training."""
        store = self.store(number)
        return Mask.load(store / files.MASK) if store.has(files.MASK) else None

    def files(self, count: int) -> list[str]:
        """Return the files of the first ``count`` children, all trained, by paths within the analysis."""
        names = (files.DONE, files.METRICS, self._file, files.MASK, files.MASK_UPDATES)
        numbers = range(1, count + 1)
        return [f"{files.child(one)}/{name}" for one in numbers for name in names if self.store(one).has(name)]

    def noise(self, number: int) -> Noise:
        return Noise(self.trunk.seeds, child=(number,))

    def weights(self, number: int) -> dict[str, Tensor]:
        """Return a trained child's tensors; raise ``UsageError`` if their file is damaged or another network's."""
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
    return torch.randn((), generator=generator, dtype=torch.float64).item()
