"""The hyperparameters of training, and the descriptor of a dense training."""

from dataclasses import dataclass
from typing import ClassVar

from foundations.desc import Desc
from foundations.hparams import Hparams, hp
from foundations.steps import Step
from models import ModelHparams, parse
from training.data import DataHparams
from training.data.loading import find_loader
from training.optimizers import DECAYING, optimizers
from training.schedules import schedules


@dataclass(frozen=True, kw_only=True)
class TrainingHparams(Hparams):
    """How a network is trained, whatever it is and whatever it is trained on."""

    optimizer: str = hp("momentum", choices=optimizers.keys())
    """The optimizer; sgd is without momentum."""
    lr: float = hp(0.1, within="(0, inf)")
    """Learning rate before any drop."""
    momentum: float = hp(0.9, within="[0, 1)")
    """Momentum of the optimizers momentum and nesterov."""
    training_steps: Step = hp(Step("160ep"))
    """Length of the whole training, pre-training included."""
    lr_schedule: str = hp("step", choices=schedules.keys(), absent="step")
    """How the learning rate falls: at the milestones, or along a cosine or a line to zero at the end of training.
    one_cycle rises first, for three tenths of it."""
    milestone_steps: tuple[Step, ...] = hp(())
    """Steps at which the learning rate is multiplied by gamma, separated by commas; for --lr_schedule=step."""
    gamma: float = hp(0.1, within="(0, 1]")
    """Factor of the learning rate at each milestone."""
    warmup_steps: Step = hp(Step("0ep"))
    """The learning rate grows linearly from zero over this many steps."""
    weight_decay: float = hp(0.0, within="[0, inf)")
    """Weight decay (L2; decoupled for adamw)."""
    weight_decay_of: str = hp("all", choices=DECAYING, absent="all")
    """Which parameters decay: all, all but those of BatchNorm (without_batchnorm), or neither those nor biases
    (weights)."""
    clip_grad_norm: float = hp(0.0, within="[0, inf)", absent=0.0)
    """Norm to which the gradient of a step is scaled down where it is larger; 0 leaves it as it is."""
    label_smoothing: float = hp(0.0, within="[0, 1)")
    """Label smoothing of the cross entropy that is trained on."""
    batchnorm_statistics: str = hp("local", choices=("local", "synchronized"), absent="local")
    """Under torchrun: BatchNorm's mean and variance are those of a process's own share of the batch (local), or of the
    whole batch as with one process (synchronized; on CUDA only)."""
    precision: str = hp("fp32", choices=("fp32", "tf32", "bf16"))
    """Arithmetic of training and evaluation; tf32 is fp32 with tf32 matrix units on CUDA."""
    compile: bool = hp(False, absent=False)
    """Train with torch.compile: faster steps, above all on a GPU, after a minute of compilation; other last bits."""


@dataclass(frozen=True, kw_only=True)
class TrainDesc(Desc):
    """The trunk: dense training of a model on a data set."""

    kind: ClassVar[str] = "train"
    model: ModelHparams
    data: DataHparams
    training: TrainingHparams
    imported: str = hp("", absent="")
    """The key of the imported network that it starts from; empty for an initialization."""

    def code(self) -> tuple[object, ...]:
        return (
            parse(self.model.model)[1],
            find_loader(self.data.dataset),
            optimizers.get(self.training.optimizer),
            schedules.get(self.training.lr_schedule),
        )
