"""What all tests share."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from cli import main
from experiments.checks import checks
from experiments.exchange import export_formats
from experiments.measurements import measurements
from experiments.report.stability import branch_reports
from experiments.run.engines import engines
from experiments.run.tasks import task_kinds
from experiments.run.trackers import trackers
from foundations.registry import Registry
from foundations.reporting import Reporter
from lottery.branch import branches
from models.registry import models
from pruning import strategies
from stability.criteria import criteria
from tests.steps import Steps, watched_steps
from training.data import DataHparams, DeviceData, datasets, load
from training.optimizers import optimizers
from training.recipes import recipes
from training.schedules import schedules
from training.state import TrainState


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
def own_registrations() -> Iterator[None]:
    """What a test or its plug-ins register is gone after it."""
    registries: tuple[Registry[Any], ...] = (
        strategies, models, datasets, recipes, branches, optimizers, schedules, criteria, engines, branch_reports,
        task_kinds, export_formats, trackers, checks, measurements,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        for registry in registries:
            stack.enter_context(registry.temporarily())
        yield


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
def steps() -> Iterator[Steps]:
    """The optimizer steps taken in this process, and what is done before each."""
    with watched_steps() as steps:
        yield steps


@pytest.fixture
def steps_taken(steps: Steps) -> list[int]:
    """A list that grows by the iteration of each optimizer step taken in this process."""
    return steps.taken


@pytest.fixture
def interrupt_at(steps: Steps) -> Callable[..., None]:
    """``interrupt_at(iteration, masked=...)`` interrupts once, before that step of a network with or without a mask."""

    def interrupt_at(iteration: int, *, masked: bool = False) -> None:
        def interrupt(state: TrainState) -> None:
            if state.iteration == iteration and (state.mask is not None) == masked:
                steps.before.remove(interrupt)
                raise KeyboardInterrupt

        steps.before.append(interrupt)

    return interrupt_at


@dataclass
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``command("train", "--lr=0.1")`` runs the command line in this process."""

    def run(*argv: str) -> Outcome:
        capsys.readouterr()
        code = main(argv)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
