"""Networks that start from one state and differ in their SGD noise and in nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from foundations import files
from foundations.steps import Step
from foundations.store import Store
from pruning import Mask
from stability.distances import flat
from training.hparams import TrainingHparams
from training.mask_updates import MaskUpdates
from training.optimizers import with_hparams
from training.segments import train_branch
from training.state import Noise, TrainState
from training.trunk import Trunk


@dataclass(frozen=True)
class Perturbation:
    """What makes children differ beside, or instead of, their SGD noise; the first child is never perturbed."""

    hyperparameters: float = 0.0
    """Relative standard deviation of learning rate and weight decay."""
    weights: float = 0.0
    """Relative size of a perturbation of the weights; the SGD noise is then the same for all."""
    iteration: int = 0
    """When the weights are perturbed."""


@dataclass(frozen=True, eq=False)
class Children:
    """The children of one state, each in a directory ``child_<n>`` of its own.

    A child's data order and augmentation come from its number, from the first step after ``start`` on. All else,
    the optimizer's state included, is the start's.

    ``here`` is the directory of the analysis; ``trunk`` gives the data, the seeds and the reporter.
    """

    here: Store
    trunk: Trunk
    start: Callable[[], TrainState]
    """Makes the state they start from, with the trunk's noise, masked."""
    hparams: TrainingHparams
    perturbation: Perturbation = Perturbation()
    updates: Callable[[TrainState], MaskUpdates | None] = lambda state: None
    """How the mask changes in training from a state, if it does; then each child has one of its own."""

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

            change_at, change = [], partial(self.perturb, number)
            if self.perturbation.weights and number > 1:
                change_at = [self.perturbation.iteration]
                if state.iteration in change_at:
                    change(state)
            train_branch(
                store, state, self.trunk.data, hparams, context, conclude, updates, change_at=change_at, change=change
            )  # fmt: skip

    @torch.no_grad()
    def perturb(self, number: int, state: TrainState) -> None:
        """Add a random direction to the weights: ``w + s ||w|| d / ||d||``, d from N(0, 1) and 0 where w is pruned.

        ||.|| is that of all trained parameters together, s the relative size (butterflies: arXiv 2506.13234).
        """
        generator = self.trunk.seeds.generator("perturbed weights", number)
        weights = {name: weight for name, weight in state.model.named_parameters() if weight.requires_grad}
        directions = {name: torch.randn(one.shape, generator=generator).to(one) for name, one in weights.items()}
        mask: Mapping[str, Tensor] = state.mask or {}
        for name in directions.keys() & mask.keys():
            directions[name] *= mask[name].to(directions[name].device)
        size, length = (flat(some, some).norm() for some in (weights, directions))
        for name, weight in weights.items():
            weight.add_(directions[name], alpha=float(self.perturbation.weights * size / length))

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
        return Noise(self.trunk.seeds, child=(1 if self.perturbation.weights else number,))

    def weights(self, number: int) -> dict[str, Tensor]:
        """Return a trained child's tensors; raise ``UsageError`` if their file is damaged or another network's."""
        with self.store(number).intact(self._file):
            tensors = self.store(number).read_tensors(self._file)
            self.trunk.fresh().check(tensors)
            return tensors

    def hyperparameters(self, number: int) -> dict[str, float]:
        """Return learning rate and weight decay of a child.

        With a perturbation p every child but the first has them drawn from a normal distribution around their
        nominal values, of standard deviation p times those (and taken absolute). That is more than SGD noise;
        Bolwerk's code (2021) does it with p = 0.1.
        """
        nominal = {"lr": self.hparams.lr, "weight_decay": self.hparams.weight_decay}
        if number == 1 or not self.perturbation.hyperparameters:
            return nominal
        generator = self.trunk.seeds.generator("perturbed hyperparameters", number)
        normal = (torch.randn((), generator=generator, dtype=torch.float64).item() for _ in nominal)
        factors = (1 + self.perturbation.hyperparameters * number for number in normal)
        return {name: abs(value * factor) for (name, value), factor in zip(nominal.items(), factors, strict=True)}

    @property
    def _file(self) -> str:
        per_epoch = self.trunk.per_epoch
        return files.model(Step.at(self.hparams.training_steps.iteration(per_epoch), per_epoch))
