"""A lottery-ticket experiment that takes a second: a LeNet on a fifth of the digits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundations.context import Context
from foundations.reporting import Reporter
from foundations.runner import store_of
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc, LotteryRunner
from models import ModelHparams
from pruning import PruningHparams, strategies
from training.data import DataHparams, DeviceData
from training.desc import TrainDesc
from training.hparams import TrainingHparams

DATA = DataHparams(dataset="digits", batch_size=64, subsample_fraction=0.2)
TRAINING = TrainingHparams(training_steps=Step("3ep"), lr=0.1, weight_decay=1e-3)


@pytest.fixture
def context(tmp_path: Path, listener: Reporter) -> Context:
    return Context(root=tmp_path / "runs", data_dir=tmp_path, reporter=listener)


@pytest.fixture
def experiment(digits: DeviceData, context: Context) -> Callable[..., tuple[LotteryRunner, Store]]:
    """``experiment(strategy, levels, k=..., **pruning)`` gives a runner and its store; half is pruned per level."""

    def experiment(
        strategy: str = "magnitude", levels: tuple[int, ...] = (1,), k: str = "1ep", replicate: int = 1, **pruning: Any
    ) -> tuple[LotteryRunner, Store]:
        cls = strategies.get(strategy)
        hparams = {**cls.pruning_defaults(), "pruning_fraction": 0.5, "pruning_iterations": 1, **pruning}
        desc = LotteryDesc(
            train=TrainDesc(model=ModelHparams(model="mnist_lenet_16"), data=DATA, training=TRAINING),
            strategy=cls(),
            pruning=PruningHparams(**hparams),
            k=Step(k),
        )
        return LotteryRunner(desc, replicate, levels, digits, context), store_of(desc, replicate, context)

    return experiment
