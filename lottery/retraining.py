"""Ways to retrain a network that was pruned at the end of training: Renda, Frankle & Carbin 2020, arXiv 2003.02389."""

from dataclasses import replace

from torch import nn

from foundations.steps import Step
from training.hparams import TrainingHparams
from training.schedules import learning_rate
from training.state import Noise, TrainState
from training.trunk import Trunk

REWIND_WEIGHTS, REWIND_LR, FINETUNE = WAYS = ("rewind_weights", "rewind_lr", "finetune")
"""Weights and schedule go back to step k; the weights of the end stay, and the schedule goes back; or the weights stay,
and are trained at the schedule's last learning rate. All train for the steps from k to the end."""


def state_of_the_end(model: nn.Module, trunk: Trunk, k: Step) -> TrainState:
    """The trained network at step k of the schedule, with a fresh optimizer and the replicate's SGD noise from k on."""
    state = TrainState.fresh(model, trunk.desc.training, Noise(trunk.seeds), trunk.data.device)
    state.iteration = trunk.iteration(k)
    return state


def at_last_rate(training: TrainingHparams, iterations_per_epoch: int) -> TrainingHparams:
    """The same training at the learning rate of its last step throughout."""
    last = training.training_steps.iteration(iterations_per_epoch) - 1
    rate = learning_rate(training, last, iterations_per_epoch)
    return replace(training, lr=rate, lr_schedule="step", milestone_steps=(), warmup_steps=Step("0ep"))
