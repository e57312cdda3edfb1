"""Does the subnetwork want to be trained in another way?"""

from dataclasses import dataclass, fields, replace

from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.steps import Step
from lottery.branch.registry import Branch, branches
from lottery.desc import LotteryDesc
from lottery.level import Ticket
from training.hparams import TrainingHparams
from training.optimizers import make_optimizer
from training.trunk import Trunk

PREFIX = "retrain_"


@branches.register("retrain")
@dataclass(frozen=True, kw_only=True)
class Retrain(Branch):
    """Trains the same subnetwork with other training hyperparameters; those not given are the level's.

    The optimizer's state at k is kept, unless it is of another optimizer.
    """

    retrain_optimizer: str | None = hp(None, choices=("sgd", "momentum", "nesterov", "adam", "adamw"))
    """The optimizer."""
    retrain_lr: float | None = hp(None, within="(0, inf)")
    """Learning rate before any drop."""
    retrain_momentum: float | None = hp(None, within="[0, 1)")
    """Momentum of the optimizers momentum and nesterov."""
    retrain_training_steps: Step | None = hp(None)
    """Length of the whole training, pre-training to k included."""
    retrain_milestone_steps: tuple[Step, ...] | None = hp(None)
    """Steps at which the learning rate is multiplied by gamma, counted like k from the beginning."""
    retrain_gamma: float | None = hp(None, within="(0, 1]")
    """Factor of the learning rate at each milestone."""
    retrain_warmup_steps: Step | None = hp(None)
    """The learning rate grows linearly from zero over this many steps, counted from the beginning."""
    retrain_weight_decay: float | None = hp(None, within="[0, inf)")
    """Weight decay of all parameters (L2; decoupled for adamw)."""
    retrain_label_smoothing: float | None = hp(None, within="[0, 1)")
    """Label smoothing of the cross entropy that is trained on."""
    retrain_precision: str | None = hp(None, choices=("fp32", "tf32", "bf16"))
    """Arithmetic of training and evaluation."""

    def changed(self, training: TrainingHparams) -> TrainingHparams:
        """The level's hyperparameters with those given in their places."""
        given = {field.name.removeprefix(PREFIX): getattr(self, field.name) for field in fields(self)}
        return replace(training, **{name: value for name, value in given.items() if value is not None})

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        end = self.changed(desc.train.training).training_steps
        if trunk.iteration(desc.k) > trunk.iteration(end):
            raise UsageError(f"--retrain_training_steps={end.short}: ends before --k={desc.k.short}")

    def start(self, ticket: Ticket) -> Ticket:
        training, state = self.changed(ticket.training), ticket.state
        optimizer = make_optimizer(training, state.model)
        if training.optimizer == ticket.training.optimizer:
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({**state.optimizer.state_dict(), "param_groups": groups})
        state.optimizer = optimizer
        return replace(ticket, training=training)
