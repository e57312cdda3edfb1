"""Compaction: the small network is the masked one."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from models import vgg as cifar_vgg
from pruning import Mask, prunable, strategies
from pruning.compaction import Compacted, compact
from pruning.same_function import example_of
from tests.pruning.compacting import SHAPE, assert_same_training, found_by, make, parameters, sgd, train

SHIPPED = ("cifar_resnet_8_8", "cifar_vgg_11", "mnist_lenet_40_24")


@pytest.fixture(autouse=True)
def narrow_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar_vgg, "CHANNELS", (12, 16, 24, 32, 32))


# The shipped models --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", strategies.names())
@pytest.mark.parametrize("name", SHIPPED)
def test_trains_like_the_masked_network(name: str, strategy: str) -> None:
    model = make(name)
    assert_same_training(model, found_by(strategy, model, density=0.03))


@pytest.mark.parametrize("name", SHIPPED)
def test_synflow_leaves_much_to_take_out(name: str) -> None:
    model = make(name)
    mask = found_by("synflow", model, density=0.03)
    mask.apply_(model)
    assert parameters(compact(model, mask, round_to=1).model) < 0.5 * parameters(model)


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_is_taken_out_of_a_full_network(name: str) -> None:
    model = make(name)
    compacted = compact(model, Mask.ones(model))
    assert not compacted.places
    assert parameters(compacted.model) == parameters(model)


def test_widths_are_multiples_of_eight_or_whole() -> None:
    model = make("cifar_vgg_13")
    mask = found_by("synflow", model, density=0.03)
    mask.apply_(model)
    for name, weight in prunable(compact(model, mask).model).items():
        full = model.get_parameter(name)
        assert len(weight) % 8 == 0 or len(weight) == len(full), name
    assert parameters(compact(model, mask, 1).model) < parameters(compact(model, mask).model) < parameters(model)


def test_the_full_model_is_left_as_it_was() -> None:
    model = make("cifar_resnet_8_8")
    mask = found_by("synflow", model, density=0.03)
    mask.apply_(model)
    before = copy.deepcopy(model.state_dict())
    train(compact(model, mask).model, sgd(model), steps=2)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_collapsed_network_can_be_compacted() -> None:
    model = make("cifar_vgg_11")
    mask = Mask({name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()})
    compacted = assert_same_training(model, mask, round_to=1)
    assert compacted.model.get_parameter("conv2.weight").shape[:2] == (1, 1)


# Which channels matter -----------------------------------------------------------------------------------------


def chain() -> tuple[nn.Module, dict[str, Tensor]]:
    """Three convolutions with BatchNorm, 3 -> 4 -> 4 -> 4 channels, and a linear layer on 2x2 pixels of each."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for channels in (SHAPE.channels, 4, 4):
        layers += [nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()]
    model = nn.Sequential(*layers, nn.MaxPool2d(4), nn.Flatten(), nn.Linear(16, SHAPE.classes)).double()
    return model, {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()}


def widths(compacted: Compacted) -> list[tuple[int, ...]]:
    return [tuple(weight.shape[:2]) for weight in prunable(compacted.model).values()]


def test_a_channel_without_outgoing_weights_is_taken_out() -> None:
    model, mask = chain()
    mask["3.weight"][:, 2] = False
    compacted = assert_same_training(model, Mask(mask), round_to=1)
    assert widths(compacted) == [(3, 3), (4, 3), (4, 4), (10, 16)]
    assert list(compacted.model[1].running_mean.shape) == [3]
    assert repr(compacted.model[0]).startswith("Conv2d(3, 3,")


def test_a_channel_that_leads_only_to_such_channels_is_taken_out() -> None:
    model, mask = chain()
    mask["6.weight"][:, 1] = False  # nothing leaves channel 1 of the second convolution,
    mask["3.weight"][[0, 2, 3], 3] = False  # the only one that channel 3 of the first leads to
    compacted = assert_same_training(model, Mask(mask), round_to=1)
    assert widths(compacted) == [(3, 3), (3, 3), (4, 3), (10, 16)]


def test_a_channel_without_incoming_weights_stays() -> None:
    """BatchNorm's shift gets from it to the output."""
    model, mask = chain()
    mask["3.weight"][2] = False
    assert widths(assert_same_training(model, Mask(mask), round_to=1)) == [(4, 3), (4, 4), (4, 4), (10, 16)]


def test_flattened_channels_have_several_inputs() -> None:
    model, mask = chain()
    mask["11.weight"][:, 4:8] = False  # the four pixels of channel 1
    mask["11.weight"][:, 8:11] = False  # three of channel 2
    compacted = assert_same_training(model, Mask(mask), round_to=1)
    assert widths(compacted) == [(4, 3), (4, 4), (3, 4), (10, 12)]


def test_a_channel_that_fills_up_a_width_keeps_what_leads_to_it() -> None:
    """Or its statistics, which are saved, would be wrong."""
    model, mask = chain()
    mask["6.weight"][:, 1:] = False  # only channel 0 of the second convolution matters; round_to=2 wants another
    mask["3.weight"][0, 1:] = False  # it reads channel 0, all others read every channel
    assert widths(assert_same_training(model, Mask(mask), round_to=2))[:2] == [(4, 3), (2, 4)]


def test_a_width_is_filled_up_with_the_channels_that_ask_for_least() -> None:
    model, mask = chain()
    mask["6.weight"][:, 1:] = False  # only channel 0 of the second convolution matters; round_to=2 wants another
    mask["3.weight"][0, 2:] = False  # which reads channels 0 and 1
    mask["3.weight"][1] = mask["3.weight"][2] = True
    mask["3.weight"][3, 3] = mask["3.weight"][3, 2] = False  # channel 3 asks for no more than those
    compacted = assert_same_training(model, Mask(mask), round_to=2)
    assert widths(compacted)[:2] == [(2, 3), (2, 2)]
    place = compacted.places["4.weight"][0]
    assert place is not None
    assert place.tolist() == [0, 3]


def test_a_channel_of_a_residual_stream_goes_when_no_reader_needs_it() -> None:
    model = make("cifar_resnet_14_8")
    readers = ["layer1.0.conv1", "layer1.1.conv1", "layer2.0.conv1", "layer2.0.shortcut.conv"]
    mask = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()}
    for reader in readers:
        mask[f"{reader}.weight"][:, 5] = False
    compacted = assert_same_training(copy.deepcopy(model), Mask(mask), round_to=1)
    assert compacted.model.get_parameter("conv1.weight").shape[0] == 7
    assert compacted.model.get_parameter("layer1.1.bn2.weight").shape[0] == 7
    mask["layer2.0.shortcut.conv.weight"][0, 5] = True
    assert not assert_same_training(model, Mask(mask), round_to=1).places


# Other people's networks ---------------------------------------------------------------------------------------


class Branching(nn.Module):
    """What is not known to treat each channel by itself stays whole; the rest shrinks all the same."""

    def __init__(self, mix: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.grouped, self.conv3 = nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 8, 1)
        self.fc1, self.fc = nn.Linear(32, 8), nn.Linear(8, SHAPE.classes)
        self.mix = mix

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix(torch.relu(self.conv2(torch.relu(self.conv1(x)))))
        x = self.conv3(self.grouped(x))
        x = x.view(x.size(0), -1)
        return self.fc(torch.relu(self.fc1(x)))


MIXES = {
    "softmax": lambda x: x.softmax(1),
    "flip": lambda x: x.flip(1),
    "concatenation": lambda x: torch.cat([x[:, 4:], x[:, :4]], 1),
    "broadcast": lambda x: x + x.mean(1, keepdim=True),
    "transpose": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "constant": lambda x: x + torch.arange(8, dtype=torch.float64).view(1, 8, 1, 1),
}


@pytest.mark.parametrize("mix", MIXES)
def test_what_is_not_understood_stays_whole(mix: str) -> None:
    model = Branching(MIXES[mix]).double()
    mask = {name: torch.rand_like(weight) < 0.5 for name, weight in prunable(model).items()}
    mask["conv2.weight"][:, 3] = False
    mask["grouped.weight"][:, 1] = False
    mask["fc1.weight"][:, 4:8] = False
    mask["fc.weight"][:, 2] = False
    compacted = assert_same_training(model, Mask(mask), round_to=1)
    assert widths(compacted) == [(7, 3), (8, 7), (8, 4), (7, 8), (7, 28), (10, 7)]


def test_layers_that_share_weights_or_are_used_twice_stay_whole() -> None:
    model, mask = chain()
    model[6] = model[3]
    mask = {name: entry for name, entry in mask.items() if name != "6.weight"}
    mask["3.weight"][:, 1] = False
    assert not assert_same_training(model, Mask(mask), round_to=1).places


def test_channels_go_through_depthwise_convolutions_and_slopes() -> None:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3), nn.InstanceNorm2d(8, affine=True), nn.PReLU(8), nn.Conv2d(8, 8, 3, groups=8),
        nn.Hardswish(), nn.Conv2d(8, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ]  # fmt: skip
    model = nn.Sequential(*layers).double()
    mask = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()}
    mask["5.weight"][:, [2, 5]] = False  # nothing reads two channels of the depthwise convolution
    compacted = assert_same_training(model, Mask(mask), round_to=1)
    assert widths(compacted) == [(6, 3), (6, 1), (10, 6)]
    small = compacted.model
    assert (small[3].groups, small[3].in_channels, small[1].num_features, small[2].num_parameters) == (6, 6, 6, 6)


@pytest.mark.parametrize("module", [nn.Dropout(0.3), nn.GroupNorm(2, 8), nn.Conv2d(8, 8, 1, groups=2)])
def test_channels_stay_where_training_would_be_another_without_them(module: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), module, nn.Conv2d(8, 10, 1))
    mask = Mask({name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()})
    mask.apply_(model)
    assert not compact(model, mask, 1, example_of(3, 8, 8)).places


class Hiding(nn.Module):
    """Its answers depend on a channel that no traced operation reads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, SHAPE.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.conv1(x)).mean((2, 3))
        answers: Tensor = self.fc(x)
        return answers + float(self.state_dict()["conv1.bias"].sum())


def test_a_small_network_that_is_another_function_is_refused_by_name() -> None:
    model = Hiding()
    mask = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()}
    mask["fc.weight"][:, 3] = False
    Mask(mask).apply_(model)
    assert compact(model, Mask(mask), 1, example_of(3, 8, 8)).places  # conv2's own channels may go
    mask["conv2.weight"][:, 2] = False
    Mask(mask).apply_(model)
    with pytest.raises(UsageError, match=r"^Hiding without the pruned channels of conv1 computes another function$"):
        compact(model, Mask(mask), 1, example_of(3, 8, 8))


def test_a_way_back_to_another_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("mnist_lenet_40_24")
    mask = found_by("synflow", model, density=0.03)
    mask.apply_(model)
    example = example_of(SHAPE.channels, SHAPE.height, SHAPE.width)
    assert compact(model, mask, example=example).places
    monkeypatch.setattr(Compacted, "expand", lambda compacted, small, snapshot: snapshot)  # forgets the small network
    with pytest.raises(UsageError, match="computes another function"):
        compact(model, mask, example=example)
