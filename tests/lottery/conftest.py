"""A lottery-ticket experiment that takes a second: a LeNet on a fifth of the digits."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from foundations.context import Context
from foundations.reporting import Reporter
from foundations.runner import store_of
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc, LotteryRunner
from models import ModelHparams
from pruning import PruningHparams, strategies
from training.data import DataHparams, DeviceData, load
from training.desc import TrainDesc
from training.hparams import TrainingHparams

DATA = DataHparams(dataset="digits", batch_size=64, subsample_fraction=0.2)
TRAINING = TrainingHparams(training_steps=Step("3ep"), lr=0.1, weight_decay=1e-3)


class Recorder(Reporter):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    warn = say


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> DeviceData:
    return DeviceData(load(DATA, Path("unused"), Reporter()), DATA, torch.device("cpu"))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def context(tmp_path: Path, recorder: Recorder) -> Context:
    return Context(root=tmp_path / "runs", data_dir=tmp_path, reporter=recorder)


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
