"""Networks that differ in their SGD noise and in nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from foundations.reporting import Reporter
from foundations.seeds import Seeds
from foundations.steps import Step
from foundations.store import Store
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.optimizers import with_hparams
from training.segments import train_branch
from training.state import Noise, TrainState


@dataclass(frozen=True)
class Children:
    """The children of one state, each in a directory ``child_<n>`` of its own.

    A child's data order and augmentation come from its number, from the first step after ``start`` on. All else,
    the optimizer's state included, is the start's.
    """

    here: Store
    start: Callable[[], TrainState]
    seeds: Seeds
    data: TrainingData
    hparams: TrainingHparams
    perturbation: float
    reporter: Reporter

    def store(self, number: int) -> Store:
        """A child's directory."""
        return self.here.sub(f"child_{number}")

    def done(self, number: int) -> bool:
        """Whether a child is trained and its network is there."""
        return self.store(number).done and self.store(number).has(self._file)

    def train(self, number: int) -> None:
        """Trains a child that is not done, from the start or from where it was interrupted."""
        if self.done(number):
            return
        with self.store(number).lock(self.reporter):
            if self.done(number):  # by another process, meanwhile
                return
            state = self.start()
            state.noise = self.noise(number)
            hparams = replace(self.hparams, **self.hyperparameters(number))
            state.optimizer = with_hparams(state.optimizer, hparams, state.model)  # a weight decay of its own
            train_branch(self.store(number), state, self.data, hparams, self.reporter)

    def noise(self, number: int) -> Noise:
        """A child's SGD noise."""
        return Noise(self.seeds, child=(number,))

    def weights(self, number: int) -> dict[str, Tensor]:
        """A trained child's tensors; ``UsageError`` with the file's name if it is damaged."""
        return self.store(number).read_tensors(self._file)

    def hyperparameters(self, number: int) -> dict[str, Any]:
        """Learning rate and weight decay of a child.

        With a perturbation p every child but the first has them drawn from a normal distribution around their
        nominal values, of standard deviation p times those (and taken absolute). That is more than SGD noise;
        Bolwerk's code (2021) does it with p = 0.1.
        """
        nominal = {"lr": self.hparams.lr, "weight_decay": self.hparams.weight_decay}
        if number == 1 or not self.perturbation:
            return nominal
        generator = self.seeds.generator("perturbed hyperparameters", number)
        factors = (1 + self.perturbation * standard_normal(generator) for _ in nominal)
        return {name: abs(value * factor) for (name, value), factor in zip(nominal.items(), factors, strict=True)}

    @property
    def _file(self) -> str:
        per_epoch = self.data.iterations_per_epoch
        end = Step.at(self.hparams.training_steps.iteration(per_epoch), per_epoch)
        return f"model_{end}.safetensors"


def standard_normal(generator: Any) -> float:
    """A number from the standard normal distribution."""
    return torch.randn((), generator=generator, dtype=torch.float64).item()
