"""Training with ``--compile``: every batch goes through the compiled network, and each network is compiled."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning import Mask
from training.arithmetic import compiled
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import train
from training.state import TrainState

Start = Callable[..., TrainState]
HPARAMS = TrainingHparams(lr=0.01, weight_decay=0.01, training_steps="4ep")  # type: ignore[arg-type]
COMPILED = TrainingHparams.from_dict({**HPARAMS.to_dict(), "compile": True})


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the size of the batch of each program that is compiled; the programs are left as they are traced."""
    torch._dynamo.reset()
    sizes: list[int] = []

    def backend(graph: Any, examples: list[Any]) -> Any:
        sizes.append(next(len(x) for x in examples if isinstance(x, Tensor) and not isinstance(x, nn.Parameter)))
        return graph

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **options: real(model, backend=backend, **options))
    return sizes


def test_every_batch_goes_through_the_same_forward(start: Start, small_data: DeviceData) -> None:
    state = start(HPARAMS)
    sizes: list[int] = []

    def forward(inputs: Tensor) -> Tensor:
        sizes.append(len(inputs))
        return torch.as_tensor(state.model(inputs))

    state.forward = forward
    train(state, small_data, HPARAMS, until=10)
    assert sizes == [64, 64, 64, 64, 32] * 2


def test_there_are_two_programs_one_for_each_size_of_a_batch(
    start: Start, small_data: DeviceData, programs: list[int]
) -> None:
    plain, fast = start(HPARAMS), start(COMPILED)
    train(plain, small_data, HPARAMS, until=15)
    train(fast, small_data, COMPILED, until=15)
    assert programs == [64, 32]
    for name, weight in plain.model.state_dict().items():
        torch.testing.assert_close(fast.model.state_dict()[name], weight, rtol=1e-3, atol=1e-5)


def test_the_tenth_network_of_a_process_is_compiled_like_the_first(
    start: Start, small_data: DeviceData, programs: list[int]
) -> None:
    """PyTorch gives up after eight programs of one class of networks, unless it is asked not to."""
    for width in range(2, 12):
        train(start(COMPILED, f"mnist_lenet_{width}"), small_data, COMPILED, until=5)
    assert programs == [64, 32] * 10


def test_without_the_flag_nothing_is_compiled() -> None:
    model = nn.Linear(2, 2)
    assert compiled(model, HPARAMS) is model


def compact_state(start: Start, kept: int) -> TrainState:
    """A LeNet of which ``kept`` hidden units are left."""
    state = start(COMPILED, "mnist_lenet_88")
    mask = Mask({name: kept_weights.clone() for name, kept_weights in Mask.ones(state.model).items()})
    mask["fc.weight"][:, kept:] = False
    state.prune(mask)
    state.compact(COMPILED)
    return state


def test_the_bits_of_a_compact_network_do_not_depend_on_how_many_were_trained_before(
    start: Start, small_data: DeviceData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backend(graph: Any, examples: list[Any]) -> Any:
        return lambda *inputs: [1.5 * output for output in graph(*inputs)]  # unlike what runs uncompiled

    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **options: real(model, backend=backend, **options))
    ends = []
    for before in ((), range(16, 88, 8)):
        torch._dynamo.reset()
        for kept in (*before, 8):
            state = compact_state(start, kept)
            train(state, small_data, COMPILED, until=6)
        ends.append(state.tensors())
    first, tenth = ends
    assert len(first["fc.weight"]) == 10
    assert all(torch.equal(first[name], tenth[name]) for name in first)
