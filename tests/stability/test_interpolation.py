"""The line between two networks: laws that hold for any, and networks for which it is known in closed form."""

import copy
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from models import ImageShape, ModelHparams, build
from stability.barrier import barrier
from stability.distances import outputs, weight_distances
from stability.interpolation import Examples, Line, Meter, even_alphas, recalculate, walk
from training.data import DeviceData
from training.hparams import TrainingHparams
from training.loop import evaluate

EXAMPLES = Examples(train=100, batchnorm=100)


def resnet(seed: int) -> nn.Module:
    """A network with BatchNorm whose statistics are not those of its initialization."""
    model = build(ModelHparams(model="cifar_resnet_8_4"), ImageShape(1, 8, 8, 10), torch.Generator().manual_seed(seed))
    model.train()(torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(seed)))
    return model.to(memory_format=torch.channels_last)


def line_between(first: nn.Module, second: nn.Module) -> Line:
    return Line(copy.deepcopy(first), first.state_dict(), second.state_dict())


def test_alphas_are_even_and_include_both_ends() -> None:
    assert even_alphas(5) == [0, 0.25, 0.5, 0.75, 1]
    assert even_alphas(2) == [0, 1]
    assert set(even_alphas(30)) <= set(even_alphas(59))  # so that a finer line keeps the points of a coarser one


def test_the_ends_are_the_networks_bit_for_bit() -> None:
    first, second = resnet(1), resnet(2)
    line = line_between(first, second)
    for alpha, network in ((0.3, None), (1.0, second), (0.0, first), (1.0, second)):
        here = line.go_to(alpha).state_dict()
        if network is not None:
            assert all(torch.equal(here[name], value) for name, value in network.state_dict().items()
                       if value.is_floating_point())  # fmt: skip


def test_weights_and_statistics_are_interpolated_in_place() -> None:
    first, second = resnet(1), resnet(2)
    line = line_between(first, second)
    places = {name: tensor.data_ptr() for name, tensor in line.model.state_dict().items()}
    here = line.go_to(0.25).state_dict()
    for name in ("conv1.weight", "bn1.running_var", "fc.bias"):
        expected = 0.75 * first.state_dict()[name] + 0.25 * second.state_dict()[name]
        torch.testing.assert_close(here[name], expected)
    assert places == {name: tensor.data_ptr() for name, tensor in line.model.state_dict().items()}
    assert not torch.equal(first.state_dict()["fc.bias"], here["fc.bias"])  # the children are untouched copies


def test_a_line_between_equal_networks_does_not_move() -> None:
    """0.3 * W + 0.7 * W would be another network."""
    first = resnet(1)
    line = line_between(first, copy.deepcopy(first))
    for alpha in even_alphas(30):
        here = line.go_to(alpha).state_dict()
        assert all(torch.equal(here[name], value) for name, value in first.state_dict().items())


def test_two_linear_regressions_have_the_barrier_of_their_parabola() -> None:
    """mean (w x - y)^2 along w(a) = 1 + 2a, for x = 1 and y = 2: (2a - 1)^2, which is 1 at the ends and 0 between.

    For y = 0 it is (1 + 2a)^2: 1 and 9 at the ends, so that the barrier is 9 - 5.
    """
    first, second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    first.weight.data.fill_(1.0)
    second.weight.data.fill_(3.0)
    line, x = line_between(first, second), torch.ones(1, 1)
    losses = {y: [((line.go_to(alpha)(x) - y) ** 2).item() for alpha in even_alphas(5)] for y in (2, 0)}
    assert losses[2] == [1, 0.25, 0, 0.25, 1]
    assert barrier(losses[2]) == 0
    assert barrier(losses[0]) == 4


class TwoLayers(nn.Sequential):
    """|x| from two hidden units, relu(x) + relu(-x)."""

    def __init__(self, *units: float) -> None:
        super().__init__(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
        self[0].weight.data = torch.tensor([[unit] for unit in units])
        self[2].weight.data.fill_(1.0)


def test_permuted_hidden_units_are_the_same_function_with_a_barrier_between() -> None:
    """Half way both hidden units have the weight 0, and so the network is 0 where it should be |x|."""
    first, second = TwoLayers(1.0, -1.0), TwoLayers(-1.0, 1.0)
    x = torch.linspace(-2, 2, 9).unsqueeze(1)
    assert torch.equal(first(x), second(x))
    assert weight_distances(first.state_dict(), second.state_dict(), list(first.state_dict()))["l2"] > 0
    line = line_between(first, second)
    losses = [((line.go_to(alpha)(x) - x.abs()) ** 2).mean().item() for alpha in even_alphas(3)]
    assert losses == [0, pytest.approx(float((x**2).mean())), 0]
    assert barrier(losses) == losses[1]


def test_permuted_networks_answer_the_same() -> None:
    first, second = TwoLayers(1.0, -1.0), TwoLayers(-1.0, 1.0)
    batches = [(torch.randn(20, 1), torch.zeros(20, dtype=torch.int64))]
    assert torch.equal(outputs(first, batches), outputs(second, batches))


def test_networks_of_other_shapes_or_names_are_refused() -> None:
    first = nn.Linear(2, 2)
    with pytest.raises(UsageError, match=r"weight has the shapes \(2, 2\) and \(2, 3\)"):
        line_between(first, nn.Linear(3, 2))
    with pytest.raises(UsageError, match="only one of them has bias"):
        line_between(first, nn.Linear(2, 2, bias=False))


# Recalculated statistics -------------------------------------------------------------------------------------------


def test_recalculated_statistics_are_those_of_a_plain_pass() -> None:
    images = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5)).eval()
    model[0].running_mean.fill_(7.0)
    recalculate(model, [(images, torch.zeros(40))])
    torch.testing.assert_close(model[0].running_mean, images.mean((0, 2, 3)))
    torch.testing.assert_close(model[0].running_var, images.transpose(0, 1).flatten(1).var(1))
    assert not model[0].training
    assert model[0].momentum == 0.1


def test_every_batch_counts_the_same() -> None:
    batches = [torch.randn(20, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    model = nn.Sequential(nn.BatchNorm2d(3)).eval()
    recalculate(model, [(images, torch.zeros(20)) for images in batches])
    expected = torch.stack([images.transpose(0, 1).flatten(1).var(1) for images in batches]).mean(0)
    torch.testing.assert_close(model[0].running_var, expected)


def test_deeper_layers_see_what_the_recalculated_ones_before_them_make() -> None:
    images = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = resnet(1).eval()
    recalculate(model, [(images, torch.zeros(64))])
    trained = copy.deepcopy(model).train()  # in training mode every layer normalizes by the batch itself
    with torch.no_grad():
        torch.testing.assert_close(model(images), trained(images), rtol=0.02, atol=0.02)


# Walking -----------------------------------------------------------------------------------------------------------


def test_the_ends_have_the_networks_own_errors_exactly(digits) -> None:
    first, second = resnet(1), resnet(2)
    rows = walk(line_between(first, second), Meter(digits, TrainingHparams(), EXAMPLES), (1, 2), even_alphas(3))
    for alpha, model in ((0, first), (1, second)):
        own = evaluate(model, digits.evaluation_batches("test"))
        [row] = [row for row in rows if (row.alpha, row.split, row.batchnorm) == (alpha, "test", "raw")]
        assert row.error == 1 - own["accuracy"]
        assert row.loss == own["loss"]


def test_every_point_is_measured_raw_and_recalculated_on_both_sets(digits) -> None:
    rows = walk(line_between(resnet(1), resnet(2)), Meter(digits, TrainingHparams(), EXAMPLES), (1, 2), even_alphas(3))
    assert [row.key[2:] for row in rows] == [
        (alpha, split, treatment, {"test": 355, "train": 100}[split], {"raw": 0, "recalculated": 100}[treatment])
        for alpha in (0, 0.5, 1)
        for treatment in ("raw", "recalculated")
        for split in ("test", "train")
    ]
    ends = [row for row in rows if row.alpha == 0 and row.split == "test"]
    assert ends[0].loss != ends[1].loss  # the ends are recalculated too


def test_what_is_known_is_not_measured_again(digits) -> None:
    meter, line, kept = Meter(digits, TrainingHparams(), EXAMPLES), line_between(resnet(1), resnet(2)), []
    coarse = walk(line, meter, (1, 2), even_alphas(3), keep=kept.extend)
    assert sorted(row.key for row in kept) == sorted(row.key for row in coarse)
    kept.clear()
    fine = walk(line, meter, (1, 2), even_alphas(5), known=coarse, keep=kept.extend)
    assert {row.alpha for row in kept} == {0.25, 0.75}
    assert {row.alpha for row in fine} == {0, 0.25, 0.5, 0.75, 1}


class Watched:
    """Data in batches of 50, and how many of those there were at once."""

    def __init__(self, data: DeviceData) -> None:
        self.data, self.at_once, self.made = data, 0, 0
        self.living: weakref.WeakSet[Tensor] = weakref.WeakSet()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.data, name)

    def evaluation_batches(self, split: str, batch_size: int = 50, limit: int | None = None) -> Iterator[Any]:
        for images, labels in self.data.evaluation_batches(split, min(batch_size, 50), limit):
            self.living.add(images)
            self.at_once, self.made = max(self.at_once, len(self.living)), self.made + 1
            yield images, labels


def test_images_that_would_fill_memory_are_prepared_for_each_point(digits, monkeypatch) -> None:
    def walked(held: int) -> tuple[Watched, list[Any]]:
        monkeypatch.setattr("stability.interpolation.HELD", held)
        data, line = Watched(digits), line_between(resnet(1), resnet(2))
        return data, walk(line, Meter(data, TrainingHparams(), EXAMPLES), (1, 2), even_alphas(3))

    # The test set is 8 batches of 50, what the barrier on the training set and BatchNorm's statistics take 2 each.
    once, rows = walked(held=355 * 64 * 4)
    assert (once.made, once.at_once) == (12, 12)
    anew, same = walked(held=0)
    assert anew.made == 3 * (2 * (8 + 2) + 2)
    assert anew.at_once <= 3  # the one that is measured, the one before it, the next one
    assert same == rows
    part, same = walked(held=100 * 64 * 4)
    assert part.made == 4 + 3 * 2 * 8
    assert same == rows
