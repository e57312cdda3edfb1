"""A tiny experiment on a part of the digits, each analysis a second or less."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from foundations.context import Context
from foundations.reporting import Reporter
from foundations.steps import Step
from models import ModelHparams
from pruning import PruningHparams, strategies
from stability import AnalysisAtK, AnalysisHparams, StabilityDesc
from training.data import DataHparams, DeviceData
from training.hparams import TrainDesc, TrainingHparams
from training.trunk import Trunk

DATA = DataHparams(dataset="digits", batch_size=64, subsample_fraction=0.2)
TRAIN = TrainDesc(
    model=ModelHparams(model="mnist_lenet_16"),
    data=DATA,
    training=TrainingHparams(lr=0.1, training_steps=Step("4ep"), weight_decay=5e-4),
)
FULL = StabilityDesc(train=TRAIN, strategy=None)
PRUNED = StabilityDesc(
    train=TRAIN, strategy=strategies.get("adsynflow")(), pruning=PruningHparams(pruning_fraction=0.5)
)
SETTINGS = AnalysisHparams(alphas=5, interpolation_examples=100, batchnorm_examples=100)

MakeRunner = Callable[..., AnalysisAtK]


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests that only look at analyses, so that they share trunk and children."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def context(tmp_path: Path, listener: Reporter) -> Context:
    return Context(root=tmp_path / "runs", data_dir=tmp_path, reporter=listener)


@pytest.fixture
def make_runner(digits: DeviceData, listener: Reporter) -> MakeRunner:
    """``make_runner(root, desc, k, **settings)``."""

    def make(root: Path, desc: StabilityDesc = PRUNED, k: str = "1ep", checkpoint=None, replicate=1, **settings):
        context = Context(root=root, data_dir=Path("unused"), reporter=listener)
        hparams = replace(SETTINGS, **settings)
        return AnalysisAtK(desc, Trunk(desc.train, replicate, digits, context), Step(k), hparams, checkpoint)

    return make


@pytest.fixture
def train() -> TrainDesc:
    """Four epochs of a small LeNet."""
    return TRAIN


@pytest.fixture
def full() -> StabilityDesc:
    return FULL


@pytest.fixture
def pruned() -> StabilityDesc:
    """What ``make_runner`` takes if nothing else is said: half the weights, by AdSynFlow."""
    return PRUNED


@pytest.fixture
def contents() -> Callable[[Path], dict[str, tuple[int, bytes]]]:
    """Every file below a directory with its time of change and bytes."""

    def read(root: Path) -> dict[str, tuple[int, bytes]]:
        return {
            str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    return read
