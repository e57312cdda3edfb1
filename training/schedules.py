"""Learning-rate schedules by name. A plug-in adds one of its own:

@schedules.register("inverse_root")
def inverse_root(hparams: TrainingHparams, iteration: int, iterations_per_epoch: int) -> float:
    return (1 + iteration) ** -0.5
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from foundations.registry import Registry

if TYPE_CHECKING:  # its field `lr_schedule` takes the names below
    from training.hparams import TrainingHparams

Schedule = Callable[["TrainingHparams", int, int], float]

schedules: Registry[Schedule] = Registry("learning-rate schedule", "lr_schedule")
"""Functions from training hyperparameters, a number of iterations done and the iterations of an epoch to the factor of
``--lr`` at the step that follows; the warm-up comes on top."""


def learning_rate(hparams: "TrainingHparams", iteration: int, iterations_per_epoch: int) -> float:
    """The learning rate of the step that follows ``iteration`` steps.

    ``lr * min(1, iteration / warmup) * schedule(iteration)``
    """
    warmup = hparams.warmup_steps.iteration(iterations_per_epoch)
    factor = schedules.get(hparams.lr_schedule)(hparams, iteration, iterations_per_epoch)
    return hparams.lr * (min(1.0, iteration / warmup) if warmup else 1.0) * factor


@schedules.register("step")
def step(hparams: "TrainingHparams", iteration: int, iterations_per_epoch: int) -> float:
    """``gamma ** (number of milestones reached)``"""
    reached = sum(iteration >= milestone.iteration(iterations_per_epoch) for milestone in hparams.milestone_steps)
    return hparams.gamma**reached


@schedules.register("cosine")
def cosine(hparams: "TrainingHparams", iteration: int, iterations_per_epoch: int) -> float:
    """``(1 + cos(pi * t)) / 2``, where t goes from 0 at the end of the warm-up to 1 at the end of training.

    Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5, without restarts.
    """
    return (1 + math.cos(math.pi * progress(hparams, iteration, iterations_per_epoch))) / 2


@schedules.register("linear")
def linear(hparams: "TrainingHparams", iteration: int, iterations_per_epoch: int) -> float:
    """``1 - t``, where t goes from 0 at the end of the warm-up to 1 at the end of training.

    Li, Yumer & Ramanan 2020, arXiv 1905.04753.
    """
    return 1 - progress(hparams, iteration, iterations_per_epoch)


def progress(hparams: "TrainingHparams", iteration: int, iterations_per_epoch: int) -> float:
    """The share of the way from the end of the warm-up to the end of training that is done, 0 to 1."""
    start = hparams.warmup_steps.iteration(iterations_per_epoch)
    length = hparams.training_steps.iteration(iterations_per_epoch) - start
    return min(1.0, max(0, iteration - start) / length) if length > 0 else 0.0
