"""Digits, and batches to score by."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from adsynflow import DataHparams, DeviceData, Reporter, load, models
from tests.zoo.networks import ZOO


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that takes a name is run for every network."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", ZOO)


@pytest.fixture
def in_registry(own_registrations: None) -> None:
    """``--model=zoo_<number>`` is the network at that place of ``ZOO``, from 1 on."""
    models.register("zoo_<number>")(lambda shape, number: list(ZOO.values())[number - 1]())


@pytest.fixture(scope="session")
def digits() -> DeviceData:
    return digits_of()


def digits_of(**hparams: float) -> DeviceData:
    made = DataHparams(dataset="digits", batch_size=16, **hparams)
    return DeviceData(load(made, Path("data"), Reporter()), made, torch.device("cpu"))


@pytest.fixture(scope="session")
def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return [(torch.rand(20, 1, 8, 8, generator=generator), torch.arange(10).repeat(2))]
