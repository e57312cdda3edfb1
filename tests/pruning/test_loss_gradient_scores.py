"""SNIP and GraSP against finite differences."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from pruning import Batches, Mask, PruningHparams, prunable, prune, strategies
from pruning.scorer import Scorer

STEP = 1e-5


@pytest.fixture
def model() -> nn.Sequential:
    """A smooth network in float64, BatchNorm included, which SNIP and GraSP see in training mode."""
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(2, 2, 3, stride=2), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(18, 3)
        ).double()


@pytest.fixture
def batches(batches) -> Batches:
    return batches.to(torch.device("cpu"), torch.float64)


def losses(model: nn.Module, batches: Batches, temperature: float) -> torch.Tensor:
    return sum(cross_entropy(model(inputs) / temperature, labels) for inputs, labels in batches)


def gradient_flow(model: nn.Module, batches: Batches, temperature: float) -> torch.Tensor:
    gradients = torch.autograd.grad(losses(model, batches, temperature), list(prunable(model).values()))
    return sum((gradient**2).sum() for gradient in gradients)


def derivative_by_scaling(function, model: nn.Module) -> dict[str, torch.Tensor]:
    """d function / dc at c = 1 for every weight w, replaced by c * w."""
    result = {}
    for name, weight in prunable(model).items():
        result[name] = torch.zeros_like(weight)
        for position in range(weight.numel()):
            flat, old = weight.data.view(-1), weight.data.view(-1)[position].item()
            flat[position] = old * (1 + STEP)
            above = function().item()
            flat[position] = old * (1 - STEP)
            below = function().item()
            flat[position] = old
            result[name].view(-1)[position] = (above - below) / (2 * STEP)
    return result


def scores(strategy, model, batches) -> dict[str, torch.Tensor]:
    return {name: s.detach() for name, s in strategy.score(model, batches, torch.Generator()).items()}


def test_snip_is_the_loss_s_derivative_with_respect_to_the_mask(model, batches):
    expected = derivative_by_scaling(lambda: losses(model, batches, 1), model)
    for name, score in scores(strategies.get("snip")(), model, batches).items():
        torch.testing.assert_close(score, expected[name].abs(), rtol=1e-5, atol=1e-9)


def test_snip_takes_the_absolute_value_after_summing_over_batches(model, batches):
    snip = strategies.get("snip")()
    inputs, labels = batches[0]
    opposed = Batches([(inputs, labels), (inputs, (labels + 1) % 3), (inputs, (labels + 2) % 3)], [], None)
    single = [scores(snip, model, Batches([pair], [], None)) for pair in opposed]
    together = scores(snip, model, opposed)
    assert all((together[name] <= sum(one[name] for one in single) + 1e-12).all() for name in together)
    assert (together["0.weight"] < 0.9 * sum(one["0.weight"] for one in single)).any()


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_is_half_the_gradient_flow_s_derivative(model, batches, temperature):
    """Removing w changes |g|^2 by -2 w (H g): what GraSP keeps would lower it most."""
    expected = derivative_by_scaling(lambda: gradient_flow(model, batches, temperature), model)
    grasp = strategies.get("grasp")(grasp_temperature=temperature)
    for name, score in scores(grasp, model, batches).items():
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(score, expected[name] / 2, rtol=1e-4, atol=1e-6 * scale)
    assert (score < 0).any(), "scores are signed"


def test_grasp_by_hand():
    """Logits (a, b) of the input 1, label 0, q the second probability: g = (-q, q), H = q (1 - q) [[1, -1], [-1, 1]],
    so H g = 2 q^2 (1 - q) (-1, 1). To take a away raises the gradient flow, to take b away lowers it: b is kept."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False)).double()
    model[1].weight.data = torch.tensor([[0.5], [0.3]], dtype=torch.float64)
    batches = Batches([(torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.tensor([0]))], [], None)
    q = model[1].weight.detach().flatten().softmax(0)[1]
    [score] = scores(strategies.get("grasp")(grasp_temperature=1.0), model, batches).values()
    torch.testing.assert_close(score, 2 * q**2 * (1 - q) * torch.tensor([[-0.5], [0.3]], dtype=torch.float64))


@pytest.mark.parametrize("name", ["snip", "force", "grasp"])
def test_the_scoring_mode_is_that_of_the_network(name, residual, batches):
    residual.double()
    found = {}
    for mode in ("train", "eval"):
        strategy = strategies.get(name)(scoring_mode=mode)
        found[mode] = Scorer(strategy, residual, batches, seed=0)(dict(Mask.ones(residual)))
        by_hand = scores(strategy, copy.deepcopy(residual).train(mode == "train"), batches)
        assert all(torch.equal(by_hand[layer], score) for layer, score in found[mode].items())
    assert not any(torch.allclose(score, found["eval"][layer]) for layer, score in found["train"].items())


def test_grasp_removes_first_what_raises_the_gradient_flow(model, batches):
    grasp = strategies.get("grasp")(grasp_temperature=1.0)
    total = Mask.ones(model).total
    mask = prune(grasp, model, batches, PruningHparams(), 1 - 1 / total, torch.Generator())
    flows = {}
    for name, weight in prunable(model).items():
        for position in range(weight.numel()):
            old = weight.data.view(-1)[position].item()
            weight.data.view(-1)[position] = old * (1 - STEP)
            flows[name, position] = gradient_flow(model, batches, 1.0).item()
            weight.data.view(-1)[position] = old
    removed = next((name, int((~entry).flatten().nonzero())) for name, entry in mask.items() if not entry.all())
    assert removed == max(flows, key=flows.__getitem__)


def test_weights_already_pruned_have_no_part_in_grasp_s_gradient_flow(model, batches):
    """A network without a hidden channel has the scores of the masked network."""
    entries = dict(Mask.ones(model))
    entries["4.weight"][:, 9:] = False  # all that leaves the second channel
    entries["0.weight"][1] = False  # and all that enters it
    Mask(entries).apply_(model)

    smaller = nn.Sequential(
        nn.Conv2d(2, 1, 3, stride=2), nn.BatchNorm2d(1), nn.Tanh(), nn.Flatten(), nn.Linear(9, 3)
    ).double()
    smaller[0].weight.data, smaller[0].bias.data = model[0].weight.data[:1], model[0].bias.data[:1]
    smaller[4].weight.data, smaller[4].bias.data = model[4].weight.data[:, :9], model[4].bias.data
    grasp = strategies.get("grasp")()
    masked, small = scores(grasp, model, batches), scores(grasp, smaller, batches)
    torch.testing.assert_close(masked["0.weight"][:1], small["0.weight"])
    torch.testing.assert_close(masked["4.weight"][:, :9], small["4.weight"])


def test_iterative_snip_is_snip_repeated(model, batches):
    """Two iterations are two prunings by SNIP, the second of what the first has left."""
    iterative, snip = strategies.get("iterative_snip"), strategies.get("snip")
    assert iterative.pruning_defaults()["pruning_iterations"] == 100
    once, twice = PruningHparams(), PruningHparams(pruning_iterations=2)
    halfway = prune(snip(), model, batches, once, 0.5, torch.Generator())
    expected = prune(snip(), model, batches, once, 0.25, torch.Generator(), halfway)
    assert prune(iterative(), model, batches, twice, 0.25, torch.Generator()) == expected


def test_single_shot_and_iterated_snip_differ(model, batches):
    snip = strategies.get("snip")()
    once = prune(snip, model, batches, PruningHparams(), 0.1, torch.Generator())
    often = prune(snip, model, batches, PruningHparams(pruning_iterations=20), 0.1, torch.Generator())
    assert once.kept == often.kept
    assert once != often


@pytest.mark.parametrize("strategy", ["snip", "grasp"])
def test_images_count_alike_in_batches_of_unequal_size(strategy: str, model, batches):
    """Scored in evaluation mode, where batches do not matter otherwise, five images are five images."""
    inputs, labels = (torch.cat(parts)[:5] for parts in zip(*batches, strict=True))
    found = []
    for size in (5, 3):
        split = Batches(list(zip(inputs.split(size), labels.split(size), strict=True)), [], None)
        scored = scores(strategies.get(strategy)(scoring_mode="eval"), model.eval(), split)
        found.append(torch.cat([score.flatten() for score in scored.values()]))
    torch.testing.assert_close(found[0] / found[0].sum(), found[1] / found[1].sum(), rtol=1e-6, atol=0)
