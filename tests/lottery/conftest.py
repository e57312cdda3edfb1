"""A lottery-ticket experiment that takes a second: a LeNet on a fifth of the digits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundations.context import Context
from foundations.reporting import Reporter
from foundations.steps import Step
from lottery import Level, LotteryDesc, check_lottery, with_needed
from models import ModelHparams
from pruning import PruningHparams, strategies
from training.data import DataHparams, DeviceData
from training.hparams import TrainDesc, TrainingHparams
from training.trunk import Trunk

DATA = DataHparams(dataset="digits", batch_size=64, subsample_fraction=0.2)
TRAINING = TrainingHparams(training_steps=Step("3ep"), lr=0.1, weight_decay=1e-3)


class Levels:
    """A lottery run with the levels that are asked for."""

    def __init__(
        self, desc: LotteryDesc, replicate: int, data: DeviceData, context: Context, allow_collapse: bool = False,
        *, levels: tuple[int, ...],
    ) -> None:  # fmt: skip
        self.desc, self.data, self.context, self.allow_collapse = desc, data, context, allow_collapse
        self.trunk = Trunk(desc.train, replicate, data, context)
        check_lottery(desc, self.trunk)
        self.levels = with_needed(desc, levels)
        self.store = self.level(0).run

    def level(self, number: int) -> Level:
        return Level(number, self.desc, self.trunk, self.allow_collapse)

    def run(self) -> None:
        """Trains them all, as an engine would."""
        for number in self.levels:
            self.level(number).train()

    def results(self) -> list[dict[str, Any]]:
        """What each came to."""
        return [self.level(number).here.result() for number in self.levels]


@pytest.fixture
def context(tmp_path: Path, listener: Reporter) -> Context:
    return Context(root=tmp_path / "runs", data_dir=tmp_path, reporter=listener)


@pytest.fixture
def experiment(digits: DeviceData, context: Context) -> Callable[..., Levels]:
    """``experiment(strategy, levels, k=..., **pruning)`` gives a runner; half is pruned per level."""

    def experiment(
        strategy: str = "magnitude", levels: tuple[int, ...] = (1,), k: str = "1ep", replicate: int = 1,
        model: str = "mnist_lenet_16", **pruning: Any,
    ) -> Levels:  # fmt: skip
        cls = strategies.get(strategy)
        hparams = {**cls.pruning_defaults(), "pruning_fraction": 0.5, "pruning_iterations": 1, **pruning}
        desc = LotteryDesc(
            train=TrainDesc(model=ModelHparams(model=model), data=DATA, training=TRAINING),
            strategy=cls(),
            pruning=PruningHparams(**hparams),
            k=Step(k),
        )
        return Levels(desc, replicate, digits, context, levels=levels)

    return experiment
