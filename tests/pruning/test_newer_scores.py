"""SynFlow-L2, PX, NTK-SAP and ProsPr by hand, on networks of four weights."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from foundations.errors import UsageError
from pruning import Batches, PruningHparams, prunable, prune, strategies
from tests.pruning.conftest import random_batches

A, B, C, D = 2.0, -3.0, 0.5, 0.25


def two_paths(outputs: int = 1) -> nn.Sequential:
    """One input, two hidden units with ReLU, weights a and b into them; c and d lead to one output, or to one each."""
    second = [[C, D]] if outputs == 1 else [[C, 0.0], [0.0, D]]
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, outputs, bias=False)
    ).double()
    model[1].weight.data = torch.tensor([[A], [B]], dtype=torch.float64)
    model[3].weight.data = torch.tensor(second, dtype=torch.float64)
    return model.requires_grad_()


def one_image(value: float) -> Batches:
    return Batches.of([(torch.tensor([[[[value]]]], dtype=torch.float64), torch.tensor([0]))])


def score(name: str, model: nn.Module, batches: Batches, seed: int = 0, **fields: object) -> list[list[float]]:
    strategy = strategies.get(name)(**fields)
    model.train(strategy.scored_in == "train")
    found = strategy.score(model, batches, torch.Generator().manual_seed(seed))
    return [entry.flatten().tolist() for entry in found.values()]


def test_synflow_l2_multiplies_a_weight_by_the_derivative_with_respect_to_its_square() -> None:
    """R = a^2 c^2 + b^2 d^2, so that a has |a| c^2 and c has a^2 |c|."""
    first, second = score("synflow_l2", two_paths(), one_image(0.5))
    assert first == pytest.approx([abs(A) * C**2, abs(B) * D**2])
    assert second == pytest.approx([A**2 * C, B**2 * D])
    with pytest.raises(UsageError, match="--synflow_signs=kept: synflow_l2 squares"):
        strategies.get("synflow_l2")(synflow_signs="kept")


def test_px_leaves_out_paths_that_no_image_takes() -> None:
    """The image x opens the first unit alone: z1 = (x^2, 0), z2 = (a^2 c^2, b^2 d^2), R = x^2 a^2 c^2."""
    first, second = score("px", two_paths(outputs=2), one_image(0.5))
    assert first == pytest.approx([(A * 0.25 * C**2) ** 2, 0])
    assert second == pytest.approx([(C * 0.25 * A**2) ** 2, 0, 0, 0])


def test_px_squares_batch_by_batch() -> None:
    """Into one output: z1 counts the open paths, and the square of each batch is added."""
    x, y = torch.full((2, 1, 1, 1), 0.5, dtype=torch.float64), torch.ones(1, 1, 1, 1, dtype=torch.float64)
    batches = Batches.of([(x, torch.tensor([0, 0])), (y, torch.tensor([0]))])
    [first, _] = score("px", two_paths(), batches)
    assert first == pytest.approx([(A * C**2) ** 2 * (0.5**2 + 1), (B * D**2) ** 2 * (0.5**2 + 1)])


@pytest.mark.parametrize("drawn", [False, True])
def test_ntk_sap_is_the_derivative_of_the_squared_change(drawn: bool) -> None:
    """Without a hidden layer f(m w) - f(m (w + e z)) = -e sum m z x: the score of a weight is |2 e^2 (sum z x) z x|."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False)).double().requires_grad_()
    batches = Batches.of([(torch.zeros(1, 1, 2, 2, dtype=torch.float64), torch.tensor([0]))])
    generator = torch.Generator().manual_seed(5)
    if drawn:
        nn.init.kaiming_normal_(torch.empty(1, 4, dtype=torch.float64), generator=generator)
    z = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    x = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    [found] = score(
        "ntk_sap", model, batches, seed=5, ntk_sap_weights="drawn" if drawn else "own", ntk_sap_epsilon=0.1
    )
    assert found == pytest.approx((2 * 0.01 * (z * x).sum() * z * x).abs().flatten().tolist())


def test_ntk_sap_looks_at_no_data_and_at_no_weights_unless_asked_to(residual: nn.Module) -> None:
    hparams = PruningHparams(pruning_iterations=2)

    def pruned(model: nn.Module, shift: float, weights: str) -> object:
        batches = [(inputs + shift, labels) for inputs, labels in random_batches()]
        return prune(strategies.get("ntk_sap")(ntk_sap_weights=weights), model, batches, hparams, 0.3)

    drawn, own = pruned(residual, 0, "drawn"), pruned(residual, 0, "own")
    assert drawn == pruned(residual, 7, "drawn")
    for weight in prunable(residual).values():
        nn.init.uniform_(weight, 0.5, 1.0)
    assert drawn == pruned(residual, 0, "drawn")
    assert own != pruned(residual, 0, "own")


def trained_loss(model: nn.Module, batches: list[tuple[Tensor, Tensor]], lr: float, momentum: float) -> float:
    """The loss on the last batch after a step of PyTorch's SGD on each other one."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
    for inputs, labels in batches[:-1]:
        optimizer.zero_grad()
        cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    loss = cross_entropy(model(batches[-1][0]), batches[-1][1]).item()
    model.load_state_dict(weights)
    return loss


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_prospr_is_the_derivative_of_the_loss_after_steps_of_sgd(steps: int) -> None:
    """Against finite differences: the weights are multiplied by 1 + h and 1 - h, one by one, then trained."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)).double()
    generator = torch.Generator().manual_seed(0)
    pairs = [
        (torch.rand(3, 1, 1, 2, generator=generator, dtype=torch.float64), torch.tensor([0, 1, 0]))
        for _ in range(steps + 1)
    ]
    found = score("prospr", model, Batches.of(pairs), prospr_steps=steps, prospr_lr=0.2, prospr_momentum=0.5)
    expected, h = [], 1e-5
    for weight in (model[1].weight, model[3].weight):
        row = []
        for place in range(weight.numel()):
            flat, own = weight.data.view(-1), weight.data.view(-1)[place].item()
            losses = []
            for factor in (1 + h, 1 - h):
                flat[place] = own * factor
                losses.append(trained_loss(model, pairs, 0.2, 0.5))
                flat = weight.data.view(-1)
                flat[place] = own
            row.append(abs(losses[0] - losses[1]) / (2 * h))
        expected.append(row)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-9)


def test_prospr_of_no_steps_is_snip_and_few_batches_come_again(residual: nn.Module) -> None:
    one = random_batches(count=1)
    assert prune(strategies.get("prospr")(prospr_steps=0), residual, one, density=0.3) == prune(
        "snip", residual, one, density=0.3
    )
    assert prune("prospr", residual, one, density=0.3) == prune(
        "prospr", residual, random_batches(count=1), density=0.3
    )
