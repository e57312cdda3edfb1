"""What all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from experiments.engines import engines
from experiments.report.branches import branch_reports
from experiments.stable_k import criteria
from experiments.tasks import task_kinds
from foundations.reporting import Reporter
from lottery.branch import branches
from models.registry import models
from pruning import strategies
from training.data import DataHparams, DeviceData, datasets, load
from training.optimizers import optimizers
from training.recipes import recipes
from training.schedules import schedules


class Listener(Reporter):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The tests' networks are so small that several threads only get into each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def own_registrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test or its plug-ins register is gone after it."""
    for registry in (
        strategies, models, datasets, recipes, branches, optimizers, schedules, criteria, engines, branch_reports,
        task_kinds,
    ):  # fmt: skip
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="session")
def few_digits() -> DataHparams:
    """A fifth of the digits: 288 training images in batches of 64, so 5 steps an epoch, the last one smaller."""
    return DataHparams(dataset="digits", batch_size=64, subsample_fraction=0.2)


@pytest.fixture(scope="session")
def digits(few_digits: DataHparams) -> DeviceData:
    return DeviceData(load(few_digits, Path("unused"), Reporter()), few_digits, torch.device("cpu"))


@pytest.fixture
def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the iteration of each optimizer step taken in this process."""
    from training import loop

    taken: list[int] = []
    real = loop.step

    def counted(state: object, *rest: object) -> None:
        taken.append(state.iteration)  # type: ignore[attr-defined]
        real(state, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "step", counted)
    return taken
