"""What PyTorch is switched to while a network is trained, and what of it can be asked for on this machine."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import backends

from foundations.errors import UsageError
from foundations.steps import Step
from tests.steps import Steps
from training.arithmetic import arithmetic, emulates_bf16
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import train
from training.state import TrainState
from training.trunk import Trunk

CPU = torch.device("cpu")


@pytest.mark.parametrize("deterministic", [False, True])
def test_cudnn_tries_its_algorithms_unless_they_are_deterministic(
    deterministic: bool, start: Callable[..., TrainState], small_data: DeviceData, steps: Steps
) -> None:
    state, seen = start(TrainingHparams()), []
    steps.before.append(lambda state: seen.append(backends.cudnn.benchmark))
    before = backends.cudnn.benchmark
    torch.use_deterministic_algorithms(deterministic)
    try:
        train(state, small_data, TrainingHparams(), until=2)
    finally:
        torch.use_deterministic_algorithms(False)
    assert seen == [not deterministic] * 2
    assert backends.cudnn.benchmark is before is False


@pytest.fixture
def newer_switches() -> Iterator[None]:
    """Set as a plug-in may: convolutions unlike the other operations of cuDNN."""
    conv: Any = backends.cudnn.conv  # type: ignore[attr-defined]
    before = conv.fp32_precision
    conv.fp32_precision = "ieee"
    yield
    conv.fp32_precision = before


def test_a_plugin_that_sets_the_newer_switches_is_refused(newer_switches: None) -> None:
    with (
        pytest.raises(UsageError, match=r"--precision=tf32: a plug-in.* has set a fp32_precision"),
        arithmetic(replace(TrainingHparams(), precision="tf32"), CPU),
    ):
        raise AssertionError("nothing is computed")


@pytest.mark.parametrize("supported", [True, False])
def test_emulated_bf16_is_warned_of(
    supported: bool, monkeypatch: pytest.MonkeyPatch, trunk: Callable[..., Trunk], listener: Any
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported or including_emulation)
    assert emulates_bf16(torch.device("cuda")) is not supported
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    for precision in ("fp32", "bf16"):
        trunk(precision=precision).reach(Step("1it"))
    expected = [] if supported else ["--precision=bf16: this machine's cpu only emulates it; fp32 is faster"]
    assert listener.warned == expected
