"""What a lottery-ticket experiment depends on, and the ways to retrain."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from foundations.desc import Desc
from foundations.hparams import Hparams, hp, tagged
from foundations.steps import Step
from pruning import PruningHparams, Strategy, strategies
from training.hparams import TrainDesc, TrainingHparams
from training.schedules import learning_rate
from training.state import Noise, TrainState
from training.trunk import Trunk

REWIND_WEIGHTS, REWIND_LR, FINETUNE = WAYS = ("rewind_weights", "rewind_lr", "finetune")
"""Weights and schedule go back to step k; the weights of the end stay, and the schedule goes back; or the weights stay,
and are trained at the schedule's last learning rate. All train for the steps from k to the end."""


def state_of_the_end(model: nn.Module, trunk: Trunk, k: Step) -> TrainState:
    """Return the trained network at step k of the schedule, with a fresh optimizer and the replicate's noise."""
    capture, noise = trunk.context.cuda_graphs, Noise(trunk.seeds)
    state = TrainState.fresh(model, trunk.desc.training, noise, trunk.data.device, capture=capture)
    state.iteration = trunk.iteration(k)
    return state


def at_last_rate(training: TrainingHparams, iterations_per_epoch: int) -> TrainingHparams:
    """Return the same training at the learning rate of its last step throughout."""
    last = training.training_steps.iteration(iterations_per_epoch) - 1
    rate = learning_rate(training, last, iterations_per_epoch)
    return replace(training, lr=rate, lr_schedule="step", milestone_steps=(), warmup_steps=Step("0ep"))


@dataclass(frozen=True, kw_only=True)
class SubnetworkHparams(Hparams):
    """How subnetworks are trained."""

    reset_optimizer: bool = hp(False)
    """Start subnetworks with a fresh optimizer, as open_lth does, instead of the trunk's at k."""
    compact: bool = hp(False, absent=False)
    """Train subnetworks at their true size: same results, faster where few channels are left."""
    retrain: str = hp(REWIND_WEIGHTS, choices=WAYS, absent=REWIND_WEIGHTS)
    """How a network that was pruned at the end of training is trained again: from weights and schedule of step k, from
    the weights of the end with the schedule of step k (rewind_lr), or at the last learning rate (finetune)."""
    fresh_noise: bool = hp(False, absent=False)
    """Train each level on a data order and augmentation of its own, in the place of the trunk's from step k on."""


@dataclass(frozen=True, kw_only=True)
class LotteryDesc(SubnetworkHparams, Desc):
    """Train to k, prune, train the subnetwork from k to the end; level by level."""

    kind: ClassVar[str] = "lottery"
    train: TrainDesc
    strategy: Strategy = tagged(strategies)
    pruning: PruningHparams
    k: Step = hp(Step("0ep"))
    """Step at which the subnetwork starts (rewinding step), and at which it is found unless --score_at=end."""

    def density(self, level: int) -> float:
        """Return the fraction of the prunable weights that a level keeps: ``(1 - pruning_fraction) ** level``."""
        return float((1 - self.pruning.pruning_fraction) ** level)

    def code(self) -> tuple[object, ...]:
        return (*self.train.code(), type(self.strategy))
