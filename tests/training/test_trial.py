"""Networks of other people: what trains, in which memory format, and what is refused before anything is computed."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from foundations.seeds import Seeds
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import evaluate, train
from training.state import Noise, TrainState
from training.trial import try_evaluation

HPARAMS = TrainingHparams(lr=0.05, training_steps="2ep")
Start = Callable[..., TrainState]


def perceptron() -> nn.Sequential:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))


class Viewing(nn.Module):
    """Flattens by ``view``, which feature maps that are channels-last do not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(144, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.conv(images))
        return torch.as_tensor(self.fc(features.view(features.size(0), -1)))


class WithFurtherOutputs(nn.Module):
    """As networks with auxiliary classifiers do, it returns several tensors in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.network = perceptron()

    def forward(self, images: Tensor) -> object:
        scores = self.network(images)
        return (scores, scores) if self.training else scores


# Memory --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
@pytest.mark.parametrize("view", [
    lambda wide: wide[:10, :12], lambda wide: wide.t()[:10, :12], lambda wide: wide[:10, ::2],
], ids=["columns", "transposed", "every second column"])  # fmt: skip
def test_a_parameter_that_is_a_view_trains_like_a_copy_of_it(
    optimizer: str, view: Callable[[Tensor], Tensor], start: Start, small_data: DeviceData
) -> None:
    wide = torch.randn(24, 24) / 5
    hparams = TrainingHparams(optimizer=optimizer, lr=0.01, training_steps="2ep")
    states = []
    for weight in (view(wide), view(wide).clone(memory_format=torch.contiguous_format)):
        network = perceptron()
        network[3].weight = nn.Parameter(weight)
        states.append(start(hparams, network))
        train(states[-1], small_data, hparams, until=4)
    for one, other in zip(*(state.model.parameters() for state in states), strict=True):
        assert torch.equal(one, other)


def test_convolutions_that_share_memory_stay_tied(start: Start, small_data: DeviceData) -> None:
    """Channels-last would move each to memory of its own."""
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(16, 10)
    )
    network[2].weight = nn.Parameter(network[1].weight.data)
    state = start(HPARAMS, network)
    train(state, small_data, HPARAMS, until=2)
    assert torch.equal(state.model[1].weight, state.model[2].weight)


def test_a_network_that_calls_view_trains_and_is_evaluated(start: Start, small_data: DeviceData) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = Viewing()
    reshaping = copy.deepcopy(network)
    reshaping.forward = lambda images: reshaping.fc(torch.relu(reshaping.conv(images)).flatten(1))  # type: ignore
    losses = []
    for made in (network, reshaping):
        state = start(HPARAMS, made)
        train(state, small_data, HPARAMS, until=5)
        losses.append(evaluate(state.model, small_data.evaluation_batches("test"))["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert evaluate(copy.deepcopy(state.model), small_data.evaluation_batches("test"))["loss"] == losses[1]


# Refused, before anything is computed --------------------------------------------------------------------------------


def with_weight_norm() -> nn.Module:
    network = perceptron()
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(network[1])
    return network


@pytest.mark.parametrize(("make", "message"), [
    (WithFurtherOutputs, r"of a batch of 2 the network made a tuple, not one tensor of scores, \(2, 10\)"),
    (with_weight_norm, "cannot be copied, which pruning needs: 1.weight is a computed tensor"),
    (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), r"made a tensor of shape \(2, 7\), not .* \(2, 10\)"),
    (lambda: perceptron().double(), r"step failed \(1.weight is torch.float64, and images are torch.float32\)"),
])  # fmt: skip
def test_a_network_that_cannot_train_is_refused(
    make: Callable[[], nn.Module], message: str, start: Start, small_data: DeviceData
) -> None:
    state = start(HPARAMS, make())
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    with pytest.raises(UsageError, match=message):
        train(state, small_data, HPARAMS, until=1)
    assert state.iteration == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.model.state_dict().items())


def test_a_layer_of_unknown_size_is_refused() -> None:
    with pytest.raises(UsageError, match=r"the size of layer '1' \(LazyLinear\) is not known"):
        TrainState.fresh(nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), HPARAMS, Noise(Seeds(1)), torch.device("cpu"))


@pytest.mark.parametrize(("batches", "message"), [
    ([{"image": torch.zeros(2, 64), "label": torch.zeros(2)}], "a batch is a dict; expected two tensors"),
    ([(torch.zeros(2, 64), torch.zeros(2))], r"the labels are torch.float32 of shape \(2,\)"),
    ([(torch.zeros(2, 64), torch.zeros(2, 1, dtype=torch.int64))], "expected a whole number for each of 2 images"),
    ([], "there are no images"),
])  # fmt: skip
def test_batches_that_cannot_be_evaluated_are_refused(batches: list[object], message: str) -> None:
    network = perceptron().train()
    with pytest.raises(UsageError, match=message):
        evaluate(network, batches)  # type: ignore[arg-type]
    assert network.training


def test_labels_of_any_whole_number_type_and_any_iterable_of_batches() -> None:
    images, labels = torch.ones(3, 1, 8, 8), torch.tensor([1, 2, 3])
    expected = evaluate(perceptron(), [(images, labels)])
    assert evaluate(perceptron(), ((images, labels.int()) for _ in range(1))) == expected


def test_outputs_that_are_no_scores_are_refused_in_evaluation() -> None:
    class InDict(nn.Linear):
        def forward(self, images: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
            return {"logits": super().forward(images)}

    with pytest.raises(UsageError, match="of a batch of 3 the network made a dict"):
        evaluate(InDict(2, 4), [(torch.ones(3, 2), torch.tensor([1, 2, 3]))])


# Trained like in plain PyTorch ----------------------------------------------------------------------------------------


class Skipping(nn.Module):
    """A layer that is skipped in the first steps, as in networks of random depth."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.later, self.calls = perceptron(), nn.Linear(10, 10), 0
        nn.init.eye_(self.later.weight)

    def forward(self, images: Tensor) -> Tensor:
        self.calls += self.training
        scores: Tensor = self.network(images)
        return scores if self.calls < 3 else self.later(scores)


class Keeping(nn.Module):
    """Keeps a tensor of its first call, as networks do with positions."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.kept = perceptron(), None

    def forward(self, images: Tensor) -> Tensor:
        if self.kept is None:
            self.kept = torch.arange(64.0).view(1, 1, 8, 8) / 64
        return torch.as_tensor(self.network(images * self.kept))


class Volumes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv3d(1, 2, (1, 3, 3)), nn.Linear(72, 10)

    def forward(self, images: Tensor) -> Tensor:
        return torch.as_tensor(self.fc(self.conv(images[:, :, None]).flatten(1)))


class Waves(nn.Module):
    """One of its parameters is complex."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.filter = perceptron(), nn.Parameter(torch.ones(8, 5, dtype=torch.complex64))

    def forward(self, images: Tensor) -> Tensor:
        return torch.as_tensor(self.network(torch.fft.irfft2(torch.fft.rfft2(images) * self.filter)))


@pytest.mark.parametrize("make", [Skipping, Keeping, Volumes, Waves])
def test_unusual_networks_train_as_in_plain_pytorch(
    make: Callable[[], nn.Module], start: Start, small_data: DeviceData
) -> None:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = make()
    plain = copy.deepcopy(network).train()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9)
    for batch in small_data.batches(Noise(Seeds(1)).epoch(0), 0, 4):
        images, labels = small_data.fetch(batch)
        optimizer.zero_grad()
        nn.functional.cross_entropy(plain(images), labels).backward()
        optimizer.step()
    evaluate(network, small_data.evaluation_batches("test"))
    state = start(HPARAMS, network)
    train(state, small_data, HPARAMS, until=4)
    for one, other in zip(state.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


class TrainsOnly(WithFurtherOutputs):
    """Gives scores in training only."""

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            raise RuntimeError("there are no running statistics")
        return images.flatten(1)[:, :10]


@pytest.mark.parametrize(("model", "text"), [
    (TrainsOnly(), "--model=mine: evaluation failed: RuntimeError: there are no running statistics"),
    (nn.Flatten(), r"--model=mine: of a batch of 2 the network made a tensor of shape \(2, 64\)"),
])  # fmt: skip
def test_a_network_that_cannot_be_evaluated_is_named(model: nn.Module, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        try_evaluation(model, torch.zeros(2, 1, 8, 8), 10, "--model=mine")
