"""A small data set, and trainings that take a second."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foundations.context import Context
from foundations.reporting import Reporter
from foundations.seeds import Seeds
from models import ModelHparams, build
from training.data import DataHparams, DeviceData, load
from training.hparams import TrainDesc, TrainingHparams
from training.state import Noise, TrainState
from training.trunk import Trunk

CPU = torch.device("cpu")
DATA = DataHparams(dataset="digits", batch_size=64, subsample_fraction=0.2)


@pytest.fixture(scope="session")
def small_data() -> DeviceData:
    """288 digits in batches of 64, so 5 steps an epoch, the last one smaller; cropped and flipped."""
    digits = load(DATA, Path("unused"), Reporter())
    return DeviceData(replace(digits, crop_padding=1, flip=True), DATA, CPU)


@pytest.fixture
def start(small_data: DeviceData) -> Callable[..., TrainState]:
    """``start(hparams, model name or module, noise)`` gives the state before the first step."""

    def start(
        hparams: TrainingHparams,
        model: "str | torch.nn.Module" = "mnist_lenet_16",
        noise: Noise | None = None,
        **model_hparams: bool,
    ) -> TrainState:
        if isinstance(model, str):
            bundle = ModelHparams(model=model, **model_hparams)  # type: ignore[arg-type]
            model = build(bundle, small_data.shape, Seeds(1).generator("initialization"))
        return TrainState.fresh(model, hparams, noise or Noise(Seeds(1)), CPU)

    return start


@pytest.fixture
def describe_training() -> Callable[..., TrainDesc]:
    """``describe_training(model, **training hyperparameters)``; three epochs unless said otherwise."""

    def describe(model: str = "mnist_lenet_16", **training: object) -> TrainDesc:
        hparams = TrainingHparams(**{"training_steps": "3ep", **training})  # type: ignore[arg-type]
        return TrainDesc(model=ModelHparams(model=model), data=DATA, training=hparams)

    return describe


@pytest.fixture
def context(tmp_path: Path, listener: Reporter) -> Context:
    return Context(root=tmp_path / "runs", data_dir=tmp_path / "data", reporter=listener)


@pytest.fixture
def trunk(
    describe_training: Callable[..., TrainDesc], small_data: DeviceData, context: Context
) -> Callable[..., Trunk]:
    """``trunk()`` is what a new command would make of the same flags."""
    return lambda model="mnist_lenet_16", **training: Trunk(
        describe_training(model, **training), 1, small_data, context
    )
