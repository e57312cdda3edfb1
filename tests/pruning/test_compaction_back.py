"""There and back: a compact network's state, expanded to that of the masked one."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pruning.compaction import Compacted, compact
from tests.pruning.compacting import found_by, make, sgd, train

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "momentum": sgd,
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "adam": lambda model: torch.optim.Adam(model.parameters(), lr=0.001),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_was_taken_out_keeps_its_values(optimizer: str) -> None:
    model = make("cifar_resnet_8_8")
    full_optimizer = OPTIMIZERS[optimizer](model)
    train(model, full_optimizer, steps=3)
    mask = found_by("synflow", model, density=0.03)
    mask.apply_(model)
    snapshot, optimizer_snapshot = copy.deepcopy(model.state_dict()), copy.deepcopy(full_optimizer.state_dict())

    compacted = compact(model, mask)
    small_optimizer = OPTIMIZERS[optimizer](compacted.model)
    small_optimizer.load_state_dict(compacted.shrink_optimizer(full_optimizer.state_dict()))
    train(model, full_optimizer, mask.applier(model))
    train(compacted.model, small_optimizer, compacted.mask.applier(compacted.model))

    expanded = compacted.expand(compacted.model.state_dict())
    assert_expanded(compacted, expanded, model.state_dict(), snapshot)
    numbers = {name: number for number, name in enumerate(dict(model.named_parameters()))}
    state = compacted.expand_optimizer(small_optimizer.state_dict(), optimizer_snapshot)
    full_optimizer.load_state_dict(state)
    for key in ("momentum_buffer", "exp_avg", "exp_avg_sq"):
        by_name = [
            {name: states["state"][number][key] for name, number in numbers.items() if key in states["state"][number]}
            if states["state"] else {}
            for states in (state, full_optimizer.state_dict(), optimizer_snapshot)
        ]  # fmt: skip
        assert_expanded(compacted, *by_name)


def assert_expanded(
    compacted: Compacted, expanded: dict[str, Tensor], masked: dict[str, Tensor], snapshot: dict[str, Tensor]
) -> None:
    """Inside the small network as in the masked one, outside as when it was compacted."""
    assert expanded.keys() == masked.keys()
    for name, tensor in expanded.items():
        assert tensor.shape == masked[name].shape
        assert tensor.stride() == masked[name].stride()
        ones = {name: torch.ones_like(compacted.shrink({name: tensor})[name], dtype=torch.bool)}
        inside = compacted.expand(ones, {name: torch.zeros_like(tensor, dtype=torch.bool)})[name]
        torch.testing.assert_close(tensor[inside], masked[name][inside], rtol=0, atol=1e-9)
        assert torch.equal(tensor[~inside], snapshot[name][~inside])


def test_a_fresh_optimizer_has_zeros_for_what_was_taken_out() -> None:
    model = make("mnist_lenet_40_24")
    mask = found_by("synflow", model, density=0.03)
    mask.apply_(model)
    compacted, full_optimizer = compact(model, mask), sgd(model)
    small_optimizer = sgd(compacted.model)
    train(compacted.model, small_optimizer, steps=1)
    state = compacted.expand_optimizer(small_optimizer.state_dict(), full_optimizer.state_dict())
    buffer = state["state"][0]["momentum_buffer"]
    assert buffer.shape == model.get_parameter("fc1.weight").shape
    assert torch.equal(
        compacted.shrink({"fc1.weight": buffer})["fc1.weight"],
        small_optimizer.state_dict()["state"][0]["momentum_buffer"],
    )
    rows = compacted.places["fc1.weight"][0]
    assert rows is not None
    buffer[rows] = 0
    assert not buffer.any()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_is_kept(memory_format: torch.memory_format) -> None:
    model = make("cifar_resnet_8_8").to(memory_format=memory_format)
    mask = found_by("synflow", model, density=0.03)
    mask.apply_(model)
    compacted = compact(model, mask)
    assert compacted.model.get_parameter("layer3.0.conv2.weight").is_contiguous(memory_format=memory_format)
    for name, tensor in compacted.expand(compacted.model.state_dict()).items():
        assert tensor.stride() == model.state_dict()[name].stride(), name


def test_frozen_parameters_stay_frozen() -> None:
    model = make("cifar_resnet_8_8")
    model.get_parameter("fc.weight").requires_grad_(False)
    mask = found_by("synflow", model, density=0.03)
    mask.apply_(model)
    frozen = {name for name, parameter in compact(model, mask).model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"fc.weight"}
