"""Steps worked by hand, and optimizers that others bring."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn, optim

from foundations.errors import UsageError
from foundations.steps import Step
from pruning import Mask
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import train
from training.optimizers import make_optimizer, optimizers, parameter_names, with_hparams
from training.state import TrainState

Start = Callable[..., TrainState]


class OneWeight(nn.Module):
    """Its loss 2 * w has the gradient 2 everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0]))

    def forward(self) -> Tensor:
        return 2 * self.w.sum()


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        # lr 0.1, weight decay 0.5, momentum 0.5. Gradient with decay at w = 1: 2 + 0.5 = 2.5.
        ("sgd", [1 - 0.1 * 2.5, 0.75 - 0.1 * 2.375]),
        ("momentum", [0.75, 0.75 - 0.1 * (0.5 * 2.5 + 2.375)]),
        ("nesterov", [1 - 0.1 * (2.5 + 0.5 * 2.5)]),
        ("adam", [1 - 0.1]),  # the first step of Adam is lr, whatever the gradient
        ("adamw", [1 * (1 - 0.1 * 0.5) - 0.1]),  # decay by lr * 0.5 of w, decoupled
    ],
)
def test_steps_by_hand(optimizer: str, expected: list[float]) -> None:
    model = OneWeight()
    steps = make_optimizer(TrainingHparams(optimizer=optimizer, lr=0.1, momentum=0.5, weight_decay=0.5), model)
    values = []
    for _ in expected:
        steps.zero_grad()
        model().backward()
        steps.step()
        values.append(model.w.item())
    assert values == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("decaying", "left"),
    [("all", {"0.weight", "0.bias", "1.weight", "1.bias"}), ("without_batchnorm", {"0.weight", "0.bias"}),
     ("weights", {"0.weight"})],
)  # fmt: skip
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "adamw"])
def test_what_decays_without_a_gradient(optimizer: str, decaying: str, left: set[str]) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    hparams = TrainingHparams(optimizer=optimizer, lr=0.1, weight_decay=0.5, weight_decay_of=decaying)
    make_optimizer(hparams, model).step()
    assert {name for name, parameter in model.named_parameters() if (parameter < 1).all()} == left


def test_everything_frozen_is_refused() -> None:
    model = OneWeight().requires_grad_(False)
    with pytest.raises(UsageError, match="every parameter is frozen"):
        make_optimizer(TrainingHparams(), model)


# One's own -------------------------------------------------------------------------------------------------------


def two_groups(hparams: TrainingHparams, model: nn.Module) -> optim.Optimizer:
    """Biases and the like first: a tenth of the learning rate, no weight decay; then the weights."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    small = [parameter for parameter in parameters if parameter.ndim == 1]
    large = [parameter for parameter in parameters if parameter.ndim > 1]
    groups = [{"params": small, "lr_factor": 0.25, "weight_decay": 0.0}, {"params": large}]
    return optim.SGD(groups, lr=hparams.lr, momentum=hparams.momentum, weight_decay=hparams.weight_decay)


@pytest.fixture
def hparams() -> TrainingHparams:
    """Training hyperparameters with the optimizer above, as a plug-in registers it."""
    optimizers.register("two_groups")(two_groups)
    return TrainingHparams(optimizer="two_groups", lr=2**-5, weight_decay=2**-4, training_steps=Step("4ep"))


def test_a_registered_optimizer_is_a_valid_choice_and_an_unknown_one_is_answered_with_near_misses(
    hparams: TrainingHparams,
) -> None:
    assert hparams.optimizer == "two_groups"
    message = r"--optimizer=two_grups: expected one of sgd, .*, two_groups \(did you mean 'two_groups'\?\)"
    with pytest.raises(UsageError, match=message):
        TrainingHparams(optimizer="two_grups")


def test_each_parameter_group_has_a_rate_and_a_weight_decay_of_its_own(
    hparams: TrainingHparams, start: Start, small_data: DeviceData
) -> None:
    """The first step from w with gradient g is w - rate * (g + decay * w), by group."""
    state, plain = start(hparams), start(TrainingHparams(optimizer="sgd", lr=1.0))
    before = {name: weight.clone() for name, weight in state.model.state_dict().items()}
    train(state, small_data, hparams, until=1)
    train(plain, small_data, TrainingHparams(optimizer="sgd", lr=1.0), until=1)
    for name, weight in state.model.state_dict().items():
        gradient = before[name] - plain.model.state_dict()[name]
        rate, decay = (2**-7, 0.0) if name.endswith("bias") else (2**-5, 2**-4)
        torch.testing.assert_close(weight, before[name] - rate * (gradient + decay * before[name]))
    assert [group["lr"] for group in state.optimizer.param_groups] == [2**-7, 2**-5]


def test_groups_are_in_what_is_captured(hparams: TrainingHparams, start: Start, small_data: DeviceData) -> None:
    whole, first, second = (start(hparams) for _ in range(3))
    train(whole, small_data, hparams, until=10)
    train(first, small_data, hparams, until=7)
    second.restore(copy.deepcopy(first.capture()))
    train(second, small_data, hparams, until=10)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], weight)


def test_changed_hyperparameters_keep_the_state_and_leave_a_group_what_is_its_own(
    hparams: TrainingHparams, start: Start, small_data: DeviceData
) -> None:
    state = start(hparams)
    train(state, small_data, hparams, until=2)
    changed = with_hparams(state.optimizer, replace(hparams, weight_decay=0.5), state.model)
    assert [group["weight_decay"] for group in changed.param_groups] == [0.0, 0.5]
    for parameter in state.model.parameters():
        buffers = [one.state[parameter]["momentum_buffer"] for one in (state.optimizer, changed)]
        assert torch.equal(*buffers)


def test_the_state_numbers_parameters_by_group(hparams: TrainingHparams, start: Start) -> None:
    state = start(hparams)
    assert parameter_names(state.optimizer, state.model) == ["fc1.bias", "fc.bias", "fc1.weight", "fc.weight"]


def test_a_compact_network_has_the_same_groups(hparams: TrainingHparams, start: Start, small_data: DeviceData) -> None:
    masked, small = start(hparams), start(hparams)
    mask = Mask({name: entry.clone() for name, entry in Mask.ones(masked.model).items()})
    mask["fc.weight"][:, 8:] = False
    for state in (masked, small):
        train(state, small_data, hparams, until=3)
        state.prune(mask)
        if state is small:
            state.compact(hparams)
        train(state, small_data, hparams, until=12)
    assert small.model.get_parameter("fc1.weight").shape == (8, 64)
    kept = {"fc1.weight": 0, "fc1.bias": 0, "fc.weight": 1, "fc.bias": None}
    wanted, found = masked.training_state()["optimizer"]["state"], small.training_state()["optimizer"]["state"]
    for number, name in enumerate(parameter_names(masked.optimizer, masked.model)):
        one, other = (states[number]["momentum_buffer"] for states in (wanted, found))
        axis = kept[name]
        part = slice(None) if axis is None else (slice(None),) * axis + (slice(0, 8),)
        torch.testing.assert_close(other[part], one[part])
