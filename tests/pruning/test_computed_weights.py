"""Weights that are computed from parameters: what is masked is what is multiplied."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, spectral_norm, weight_norm
from torch.nn.utils import prune as torch_prune

from foundations.errors import UsageError
from models import ImageShape
from pruning import Batches, Mask, left_dense, prunable, prune
from pruning.computed import computed_weights, make_plain
from pruning.weight_use import copied, output_positions
from tests.pruning.networks import SHAPE, ComputesOutside, CosineLinear, Shifted, StandardizedConv2d, mlp

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
MIDDLE = {
    "spectral": lambda layer: parametrizations.spectral_norm(layer),
    "old spectral": spectral_norm,
    "weight norm": lambda layer: parametrizations.weight_norm(layer),
    "old weight norm": weight_norm,
    "shifted": lambda layer: parametrize.register_parametrization(layer, "weight", Shifted()) and layer,
    "orthogonal": lambda layer: parametrizations.orthogonal(layer),
}
MASKED = {"spectral": "4.parametrizations.weight.original", "old spectral": "4.weight_orig"}


def network(kind: str) -> nn.Sequential:
    model = mlp()
    model[4] = MIDDLE[kind](model[4])
    return model


@pytest.fixture
def batches() -> Batches:
    return Batches.of([(torch.rand(6, *SHAPE), torch.arange(6))])


def tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}


@pytest.mark.parametrize("kind", MIDDLE)
def test_a_layer_is_masked_where_zeros_stay_zeros_and_left_dense_by_name_elsewhere(kind: str) -> None:
    model = network(kind)
    names = [name for name in prunable(model) if name.startswith("4.")]
    assert names == ([MASKED[kind]] if kind in MASKED else [])
    assert any(name.startswith("4.") for name in left_dense(model)) == (kind not in MASKED)
    positions = output_positions(model, ImageShape(*SHAPE, 10))
    counted = {name: count for name, count in positions.items() if name.startswith("4.") and count}
    assert list(counted.values()) == [1]
    assert model.get_parameter(next(iter(counted))).numel() == 144


@pytest.mark.parametrize("kind", MIDDLE)
@pytest.mark.parametrize("strategy", ["magnitude", "snip", "synflow", "force"])
def test_pruning_changes_nothing_of_the_network(kind: str, strategy: str, batches: Batches) -> None:
    model = network(kind)
    model(batches[0][0])
    before = tensors(model)
    mask = prune(strategy, model, batches, density=0.5)
    assert mask.kept == round(0.5 * mask.total)
    assert all(torch.equal(before[name], value) for name, value in tensors(model).items())


@pytest.mark.parametrize("kind", MASKED)
def test_what_is_multiplied_is_scored(kind: str) -> None:
    """Spectral normalization divides by the largest singular value: [[4, 0], [0, 2]] is [[1, 0], [0, 1/2]]."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[4.0, 0], [0, 2]]))
        model[1].weight.copy_(torch.tensor([[0.9, 0.7]]))
    model[0] = MIDDLE[kind](model[0])
    for _ in range(50):
        model(torch.ones(1, 2))  # the power iteration
    mask = prune("magnitude", model, density=3 / 6)
    first, second = mask.values()
    assert (first.tolist(), second.tolist()) == ([[True, False], [False, False]], [[True, True]])


@pytest.mark.parametrize("kind", MASKED)
def test_plain_weights_compute_the_same_and_leave_other_copies_alone(kind: str) -> None:
    model = network(kind).eval()
    images = torch.rand(3, *SHAPE)
    expected, plain = model(images).detach(), copied(model)
    assert computed_weights(plain) == {MASKED[kind]: "4.weight"}
    make_plain(plain, ["4.weight"])
    assert isinstance(plain[4]._parameters["weight"], nn.Parameter)
    torch.testing.assert_close(plain(images), expected)
    torch.testing.assert_close(model(images), expected)


def test_weight_standardization_stays_dense_and_a_cosine_classifier_is_masked(batches: Batches) -> None:
    model = nn.Sequential(StandardizedConv2d(1, 4, 3, padding=1), nn.Flatten(), CosineLinear(256, 10))
    assert list(prunable(model)) == ["2.weight"]
    assert list(left_dense(model)) == ["0.weight"]
    assert output_positions(model, ImageShape(*SHAPE, 10)) == {"0.weight": 64, "2.weight": 1}
    mask = prune("snip", model, batches, density=0.1)
    assert (mask.kept, mask.total) == (256, 2560)


def test_a_layer_that_only_calls_its_parent_is_masked() -> None:
    class Scaled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    class NeedsMore(nn.Linear):
        def forward(self, x, scale):
            return scale * super().forward(x)

    assert list(prunable(nn.Sequential(Scaled(2, 3), NeedsMore(3, 2)))) == ["0.weight", "1.weight"]


def test_a_weight_that_its_network_changes_is_refused_by_name(batches: Batches) -> None:
    with pytest.raises(UsageError, match=r"weights of layer 'fc' are not multiplied as they are.*layers_to_ignore=fc"):
        prune("random", ComputesOutside(), batches)


def test_a_network_of_computed_weights_alone_says_why_it_cannot_be_pruned(batches: Batches) -> None:
    model = nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(64, 10)))
    with pytest.raises(UsageError, match=r"Sequential has no weights to prune: .*weight normalization"):
        prune("magnitude", model, batches)


def test_a_network_that_is_masked_already_or_has_no_weights_yet_is_refused(batches: Batches) -> None:
    masked, lazy = mlp(), nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
    torch_prune.l1_unstructured(masked[4], "weight", 0.5)
    with pytest.raises(UsageError, match=r"Linear\(.*under torch.nn.utils.prune already.*prune.remove"):
        prune("magnitude", masked, batches)
    with pytest.raises(UsageError, match=r"LazyLinear\(.*pass a batch through the network first"):
        Mask.ones(lazy)


def test_a_parameter_that_is_no_weight_may_have_any_type(batches: Batches) -> None:
    model = mlp()
    model.steps = nn.Parameter(torch.tensor(3), requires_grad=False)
    for strategy in ("snip", "synflow", "grasp"):
        mask = prune(strategy, model, batches, density=0.5)
        assert mask.kept == round(0.5 * mask.total)
