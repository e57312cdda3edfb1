"""Which layers of a network share their channels."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundations.errors import UsageError
from pruning.channels import ChannelGraph
from pruning.graph import channel_graph


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


@pytest.mark.parametrize("operation", [lambda x: x.flip(1), lambda x: x.cumsum(1), lambda x: x.softmax(1)])
def test_an_operation_without_a_rule_pins_what_it_reads(operation: Callable[[Tensor], Tensor]) -> None:
    class Mixing(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return self[1](operation(self[0](x)))

    graph = channel_graph(Mixing(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)))
    assert groups(graph) == {"0": (None, 0), "1": (None, 1)}
    assert graph.pinned == set(graph.sizes)


class Parts(nn.Module):
    """One channel of images -> conv -> norm -> average -> ten answers; ``forward`` is the test's."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 10)
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def dilated(net: nn.Module, x: Tensor) -> Tensor:
    other = F.conv2d(x, net.conv.weight, net.conv.bias, padding=2, dilation=2)
    return net.fc((net.conv(x) + other).mean((2, 3)))


def norm_by_function(net: nn.Module, x: Tensor) -> Tensor:
    x, norm = net.conv(x), net.norm
    return net.fc(F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias).mean((2, 3)))


def reads_statistics(net: nn.Module, x: Tensor) -> Tensor:
    return net.fc((net.norm(net.conv(x)) - net.norm.running_mean.view(1, -1, 1, 1)).mean((2, 3)))


def among_all_parameters(net: nn.Module, x: Tensor) -> Tensor:
    weight, bias = list(net.parameters())[:2]
    return net.fc(F.conv2d(x, weight, bias).mean((2, 3)) + net.conv(x).mean((2, 3)))


@pytest.mark.parametrize("forward", [dilated, norm_by_function, reads_statistics, among_all_parameters])
def test_a_tensor_used_besides_its_modules_call_pins_its_channels(
    forward: Callable[[nn.Module, Tensor], Tensor],
) -> None:
    net = Parts(forward)
    attributes = set(vars(net))
    graph = channel_graph(net)
    assert graph.channels_outside(graph.pinned) == (0, 4)
    assert graph.channels_outside(graph.whole) == (0, 4)
    assert set(vars(net)) == attributes  # tracing leaves nothing behind


MOVES = {
    "dropout": (nn.Dropout2d(0.3), False),
    "PReLU": (nn.PReLU(8), True),
    "one slope for all": (nn.PReLU(), True),
    "depthwise": (nn.Conv2d(8, 8, 3, padding=1, groups=8), True),
    "grouped": (nn.Conv2d(8, 8, 3, padding=1, groups=2), False),
    "GroupNorm": (nn.GroupNorm(2, 8), False),
    "LayerNorm": (nn.LayerNorm([8, 8, 8]), False),
    "InstanceNorm": (nn.InstanceNorm2d(8, affine=True, track_running_stats=True), True),
    "norm of positions": (nn.LayerNorm(8), True),
    "activation": (nn.Hardswish(), True),
    "padding": (nn.ReflectionPad2d(1), True),
}


@pytest.mark.parametrize("name", MOVES)
def test_channels_move_through_it_and_go_where_training_stays_the_same(name: str) -> None:
    """A smaller dropout draws other numbers, a smaller norm over channels has other statistics."""
    module, goes = MOVES[name]
    graph = channel_graph(nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), module, nn.Conv2d(8, 3, 1)))
    assert not graph.pinned - graph.output
    assert (not graph.whole - graph.output) == goes


def test_blocks_of_channels_by_hand() -> None:
    """4 channels in 2 blocks are read by a grouped convolution: 0 and 1 by its first block, 2 and 3 by the other."""
    net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 6, 1, groups=2), nn.Conv2d(6, 1, 1))
    graph = channel_graph(net)
    first, second, _ = (layer.writes for layer in graph.layers)
    assert graph.blocks == {first: 2, second: 2}
    assert graph.ties == [{first, second}]
    along = graph.in_blocks(first, torch.tensor([3, 2, 0, 1]))  # the blocks change places, and two channels do
    assert along[second].tolist() == [3, 4, 5, 0, 1, 2]
    for seed in range(20):
        orders = graph.random_orders(torch.Generator().manual_seed(seed))
        assert (orders[first] // 2)[::2].equal((orders[second] // 3)[::3])


def test_blocks_of_the_networks_input_do_not_move() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 1, groups=2), nn.ReLU(), nn.Conv2d(4, 1, 1))
    graph = channel_graph(net)
    for seed in range(5):
        [order] = graph.random_orders(torch.Generator().manual_seed(seed)).values()
        assert (order // 2).tolist() == [0, 0, 1, 1]
    depthwise = channel_graph(nn.Sequential(nn.Conv2d(2, 2, 1, groups=2), nn.Conv2d(2, 1, 1)))
    assert depthwise.channels_outside(depthwise.pinned) == (0, 2)


def test_two_divisions_of_the_same_channels_leave_none_to_move() -> None:
    graph = channel_graph(
        nn.Sequential(nn.Conv2d(1, 12, 1), nn.GroupNorm(4, 12), nn.GroupNorm(3, 12), nn.Conv2d(12, 1, 1))
    )
    assert graph.channels_outside(graph.pinned) == (0, 12)
    assert graph.why(graph.pinned) == "2"


def test_a_model_that_cannot_be_traced_is_refused_with_the_reason() -> None:
    class Undecided(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(UsageError, match=r"^Undecided cannot be traced \(symbolically traced variables .*\)$"):
        channel_graph(Undecided())
