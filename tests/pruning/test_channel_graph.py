"""Which layers of a network share their channels."""

from collections.abc import Callable

import pytest
from torch import Tensor, nn

from foundations.errors import UsageError
from pruning.graph import ChannelGraph, channel_graph


def groups(graph: ChannelGraph) -> dict[str, tuple[int | None, int]]:
    """The groups that each layer reads and writes, numbered as they appear."""
    numbers: dict[int, int] = {}
    return {
        layer.name: (
            None if layer.reads is None else numbers.setdefault(layer.reads, len(numbers)),
            numbers.setdefault(layer.writes, len(numbers)),
        )
        for layer in graph.layers
    }


def test_a_chain_of_layers() -> None:
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)]
    graph = channel_graph(nn.Sequential(*layers))
    assert groups(graph) == {"0": (None, 0), "5": (0, 1)}
    assert sorted(graph.sizes.values()) == [4, 5]
    assert {graph.sizes[group] for group in graph.pinned} == {5}  # the network's output
    assert graph.norms == {"1": graph.layers[0].writes}


def test_what_is_added_up_in_a_residual_stream_is_one_group(residual: nn.Module) -> None:
    graph = channel_graph(residual)
    assert groups(graph) == {
        "0": (None, 0),
        "3.conv1": (0, 1), "3.conv2": (1, 0),
        "4.conv1": (0, 2), "4.conv2": (2, 3), "4.shortcut": (0, 3),
        "7": (3, 4),
    }  # fmt: skip
    assert graph.norms["1"] == graph.norms["3.bn2"]
    assert graph.norms["4.bn1"] != graph.norms["4.bn2"]


def test_a_module_that_holds_nothing_may_be_used_again() -> None:
    """As torchvision's residual blocks use their one ReLU; a BatchNorm used again belongs to no one layer."""
    relu, norm = nn.ReLU(), nn.BatchNorm2d(4, affine=False)
    layers = [nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.Flatten(), nn.Linear(64, 5)]
    assert groups(channel_graph(nn.Sequential(*layers))) == {"0": (None, 0), "2": (0, 1), "5": (1, 2)}
    layers[1] = layers[3] = norm
    graph = channel_graph(nn.Sequential(*layers))
    assert graph.pinned == set(graph.sizes)
    assert not graph.norms


@pytest.mark.parametrize("operation", [lambda x: x.flip(1), lambda x: x + 1, lambda x: x.softmax(1)])
def test_an_operation_without_a_rule_pins_what_it_reads(operation: Callable[[Tensor], Tensor]) -> None:
    class Mixing(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return self[1](operation(self[0](x)))

    graph = channel_graph(Mixing(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)))
    assert groups(graph) == {"0": (None, 0), "1": (None, 1)}
    assert graph.pinned == set(graph.sizes)


def test_a_model_that_cannot_be_traced_is_refused_with_the_reason() -> None:
    class Undecided(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(UsageError, match=r"^Undecided cannot be traced \(symbolically traced variables .*\)$"):
        channel_graph(Undecided())
