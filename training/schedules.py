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
    """Return the learning rate of the step that follows ``iteration`` steps.

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


RISE, FIRST, LAST = 0.3, 1 / 25, 1 / (25 * 1e4)
"""Of one_cycle: the share of the steps in which the rate rises, and the factors of the first and of the last step."""


@schedules.register("one_cycle")
def one_cycle(hparams: "TrainingHparams", iteration: int, iterations_per_epoch: int) -> float:
    """Half a cosine up from 1/25 in the first 30% of the steps, and half a cosine down to 1/250,000 at the last one.

    Smith & Topin 2017, arXiv 1708.07120, in the form and with the defaults of PyTorch's ``OneCycleLR``; the momentum
    stays as it is. A warm-up comes before it.
    """
    start = hparams.warmup_steps.iteration(iterations_per_epoch)
    last = hparams.training_steps.iteration(iterations_per_epoch) - start - 1
    peak = max(0.0, RISE * (last + 1) - 1)
    done = min(max(0, iteration - start), last)
    if done < peak:
        return between(FIRST, 1.0, done / peak)
    return between(1.0, LAST, (done - peak) / (last - peak) if last > peak else 0.0)


def between(start: float, end: float, share: float) -> float:
    """Return half a cosine from ``start`` to ``end``."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def progress(hparams: "TrainingHparams", iteration: int, iterations_per_epoch: int) -> float:
    """Return the share of the way from the end of the warm-up to the end of training that is done, 0 to 1."""
    start = hparams.warmup_steps.iteration(iterations_per_epoch)
    length = hparams.training_steps.iteration(iterations_per_epoch) - start
    return min(1.0, max(0, iteration - start) / length) if length > 0 else 0.0
