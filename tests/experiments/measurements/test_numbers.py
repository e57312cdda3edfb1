"""What measurements compute, worked by hand on a few weights and images."""

import math

import pytest
import torch
from torch import nn

from experiments.measurements.after_pruning import gradient
from experiments.measurements.between_children import alignment, class_errors, gram
from experiments.measurements.overlap import precision
from experiments.measurements.paths import log10_paths
from experiments.measurements.weights import changed_signs
from pruning import Mask
from training.data import DeviceData


def mask(*kept: bool, name: str = "weight", shape: tuple[int, ...] = (1, -1)) -> Mask:
    return Mask({name: torch.tensor(kept).view(shape)})


def test_of_three_kept_weights_one_changes_its_sign() -> None:
    before, after = {"fc": torch.tensor([1.0, -2.0, 3.0, -4.0])}, {"fc": torch.tensor([-1.0, -5.0, 0.5, 4.0])}
    found = changed_signs(Mask({"fc": torch.tensor([True, True, True, False])}), before, after)
    assert found == {"changed": 1 / 3, "changed.fc": 1 / 3}


def test_precision_of_masks_is_held_against_chance_by_layer() -> None:
    own = Mask({"a": torch.tensor([True, True, False, False]), "b": torch.tensor([True, False])})
    other = Mask({"a": torch.tensor([True, False, False, False]), "b": torch.tensor([True, True])})
    found = precision("with", own, other)
    assert found == pytest.approx({
        "with": 2 / 3, "with.a": 1 / 2, "with.b": 1.0, "with_chance_in_layers": (2 * 1 / 4 + 1 * 1) / 3,
    })  # fmt: skip


def test_paths_through_a_mask_are_counted() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    dense = Mask.ones(network)
    assert log10_paths(network, dense, (1, 1, 2)) == pytest.approx(math.log10(2 * 3 * 2))
    sparse = Mask({"1.weight": torch.tensor([[1, 1], [0, 1], [0, 0]]).bool(), "3.weight": torch.ones(2, 3).bool()})
    assert log10_paths(network, sparse, (1, 1, 2)) == pytest.approx(math.log10((2 + 1) * 2))


def test_paths_of_a_convolution_count_each_position_and_no_batchnorm() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1))
    network[1].running_var.fill_(9)  # type: ignore[union-attr,operator]
    assert log10_paths(network, Mask.ones(network), (1, 3, 3)) == pytest.approx(math.log10(2 * 4 * 4))


def test_features_that_are_equal_up_to_rotation_and_scale_have_a_cka_of_one() -> None:
    features = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double()
    rotation = torch.linalg.qr(torch.arange(9.0).view(3, 3).double() + torch.eye(3))[0]
    same = gram(features)
    assert alignment(same, same) == pytest.approx(1)
    assert alignment(same, gram(3 * features @ rotation + 5)) == pytest.approx(1)


def test_features_without_correlation_have_a_cka_of_zero() -> None:
    one, other = torch.tensor([[1.0], [-1], [1], [-1]]), torch.tensor([[1.0], [1], [-1], [-1]])
    assert alignment(gram(one), gram(other)) == 0


def test_errors_by_class_average_to_the_error(digits: DeviceData) -> None:
    always_three = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        always_three[1].weight.zero_()
        always_three[1].bias.copy_(torch.eye(10)[3])
    found = class_errors(always_three, digits)
    assert found == {str(number): float(number != 3) for number in range(10)}


def test_the_gradient_of_pruned_weights_is_zero_and_every_image_counts_alike(digits: DeviceData) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    half = Mask({"1.weight": torch.arange(640).view(10, 64) % 2 == 0})
    images, labels = next(digits.evaluation_batches("train", limit=30))
    [found] = gradient(model, half, digits, 30)
    loss = nn.functional.cross_entropy(model(images), labels)
    [whole] = torch.autograd.grad(loss, [model[1].weight])
    torch.testing.assert_close(found, whole * half["1.weight"])


def test_the_hessian_of_a_quadratic() -> None:
    """``mean (w.x - y)^2`` has the Hessian ``2 mean x x'``; a pruned weight has no row in it."""
    pytest.importorskip("curvlinops")
    from experiments.measurements.curvature import hessian_of, spectrum

    inputs = torch.tensor([[1.0, 0, 3], [0, 2, 0]]).double()
    model = nn.Linear(3, 1, bias=False).double()
    generator = torch.Generator().manual_seed(0)
    whole = hessian_of(model, nn.MSELoss(), [(inputs, torch.zeros(2, 1).double())], mask(True, True, True))
    assert spectrum(whole, 3, generator) == pytest.approx({"largest": 1 + 9, "trace": 1 + 4 + 9})
    part = hessian_of(model, nn.MSELoss(), [(inputs, torch.zeros(2, 1).double())], mask(True, True, False))
    assert spectrum(part, 3, generator) == pytest.approx({"largest": 4, "trace": 1 + 4})


def test_biases_count_in_the_hessian() -> None:
    """They are never pruned: ``mean (w x + b)^2`` has ``2 mean [[x^2, x], [x, 1]]``."""
    pytest.importorskip("curvlinops")
    from experiments.measurements.curvature import hessian_of, spectrum

    model, inputs = nn.Linear(1, 1).double(), torch.tensor([[1.0], [2.0]]).double()
    hessian = hessian_of(model, nn.MSELoss(), [(inputs, torch.zeros(2, 1).double())], mask(True))
    found = spectrum(hessian, 3, torch.Generator())
    assert found["trace"] == pytest.approx(2 * (2.5 + 1))
    pruned = hessian_of(model, nn.MSELoss(), [(inputs, torch.zeros(2, 1).double())], mask(False))
    assert spectrum(pruned, 3, torch.Generator()) == pytest.approx({"largest": 2, "trace": 2})


def test_lanczos_and_hutch_find_what_the_whole_matrix_has() -> None:
    pytest.importorskip("curvlinops")
    from experiments.measurements.curvature import hessian_of, spectrum

    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 100, generator=generator).double()
    model = nn.Linear(100, 1, bias=False).double()
    hessian = hessian_of(model, nn.MSELoss(), [(inputs, torch.zeros(40, 1).double())], mask(*[True] * 100))
    exact = 2 * inputs.T @ inputs / 40
    with torch.random.fork_rng([]):
        found = spectrum(hessian, 60, generator)
    assert found["largest"] == pytest.approx(float(torch.linalg.eigvalsh(exact)[-1]), rel=1e-3)
    assert found["trace"] == pytest.approx(float(exact.trace()), rel=0.1)
