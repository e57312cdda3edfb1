"""Optimizers and the learning-rate schedule."""

from torch import nn, optim

from foundations.errors import UsageError
from training.hparams import TrainingHparams


def make_optimizer(hparams: TrainingHparams, model: nn.Module) -> optim.Optimizer:
    """The optimizer of all parameters that are not frozen."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise UsageError("Nothing to train: every parameter is frozen; leave out one of the *_frozen flags")
    name, lr, decay = hparams.optimizer, hparams.lr, hparams.weight_decay
    if name in ("adam", "adamw"):
        adam = optim.Adam if name == "adam" else optim.AdamW
        return adam(parameters, lr=lr, weight_decay=decay, fused=True)
    momentum = 0.0 if name == "sgd" else hparams.momentum
    nesterov = name == "nesterov" and momentum > 0
    return optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay, nesterov=nesterov, fused=True)


def learning_rate(hparams: TrainingHparams, iteration: int, iterations_per_epoch: int) -> float:
    """The learning rate of the step that follows ``iteration`` steps.

    ``lr * min(1, iteration / warmup) * gamma ** (number of milestones reached)``
    """
    warmup = hparams.warmup_steps.iteration(iterations_per_epoch)
    reached = sum(iteration >= step.iteration(iterations_per_epoch) for step in hparams.milestone_steps)
    return hparams.lr * (min(1.0, iteration / warmup) if warmup else 1.0) * hparams.gamma**reached
