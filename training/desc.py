"""What a dense training depends on."""

from dataclasses import dataclass
from typing import ClassVar

from foundations.desc import Desc
from foundations.hparams import hp
from models import ModelHparams, parse
from training.data import DataHparams
from training.data.loading import find_loader
from training.hparams import TrainingHparams
from training.optimizers import optimizers
from training.schedules import schedules


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
