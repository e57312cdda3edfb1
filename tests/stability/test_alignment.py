"""Weight matching: what it finds, and what permuting channels leaves as it is."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foundations.context import Context
from foundations.errors import UsageError
from models import ImageShape, ModelHparams, build
from pruning import Mask, prunable
from pruning.graph import channel_graph
from stability import AnalysisAtK
from stability.alignment import block_assignment, check_alignable, match, permuted, share_moved
from stability.barrier import barrier
from stability.interpolation import Examples, Line, Meter, even_alphas, walk
from stability.rows import ALIGNED
from training.hparams import TrainingHparams

SMALL = ("mnist_lenet_12_10", "cifar_resnet_20_4", "tiny_resnet_18_4", "mlp1d_12")
SHAPE = ImageShape(1, 8, 8, 10)
MODELS = (*SMALL, "cifar_vgg_11", "imagenet_resnet_18")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(name: str, seed: int) -> nn.Module:
    """A network whose BatchNorm holds other numbers for each channel."""
    generator = seeded(seed)
    model = build(ModelHparams(model=name), SHAPE, generator)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def permuted_copy(model: nn.Module, seed: int) -> nn.Module:
    graph = channel_graph(model)
    other = copy.deepcopy(model)
    other.load_state_dict(permuted(model.state_dict(), graph, graph.random_orders(seeded(seed))))
    return other


def equal(some: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return all(torch.equal(some[name], others[name]) for name in some)


def test_a_network_by_hand() -> None:
    """Units 0, 1, 2 go to the places 2, 0, 1; the weights that read them go along."""
    model = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
    graph = channel_graph(nn.Sequential(nn.Flatten(), *model))
    tensors = {
        "1.weight": torch.tensor([[10.0], [20.0], [30.0]]), "1.bias": torch.tensor([1.0, 2.0, 3.0]),
        "3.weight": torch.tensor([[100.0, 200.0, 300.0]]), "3.bias": torch.tensor([7.0]),
    }  # fmt: skip
    [hidden] = set(graph.sizes) - graph.pinned
    found = permuted(tensors, graph, {hidden: torch.tensor([1, 2, 0])})
    assert found["1.weight"].flatten().tolist() == [20, 30, 10]
    assert found["1.bias"].tolist() == [2, 3, 1]
    assert found["3.weight"].flatten().tolist() == [200, 300, 100]
    assert found["3.bias"].tolist() == [7]
    back = match(graph, tensors, found, seeded(0))
    assert back[hidden].tolist() == [2, 0, 1]
    assert share_moved(back) == 1


@pytest.mark.parametrize("name", MODELS)
def test_a_permuted_network_is_the_same_function(name: str) -> None:
    model = network(name, 1)
    other, x = permuted_copy(model, 2), torch.rand(4, 1, 8, 8, generator=seeded(3))
    assert not equal(model.state_dict(), other.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(other(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_a_permuted_copy_is_brought_back_exactly(name: str) -> None:
    model = network(name, 1)
    graph, other = channel_graph(model), permuted_copy(model, 2)
    for seed in range(3):  # whatever the order of the groups
        found = match(graph, model.state_dict(), other.state_dict(), seeded(seed))
        assert equal(permuted(other.state_dict(), graph, found), model.state_dict())


def test_a_pruned_permuted_copy_and_its_mask_are_brought_back() -> None:
    model = network("cifar_resnet_8_4", 1)
    mask = Mask({name: torch.rand(weight.shape, generator=seeded(5)) < 0.2 for name, weight in prunable(model).items()})
    mask.apply_(model)
    graph = channel_graph(model)
    order = graph.random_orders(seeded(2))
    other, moved = permuted(model.state_dict(), graph, order), permuted(mask, graph, order)
    assert all(not other[name][~kept].any() for name, kept in moved.items())
    assert any(not torch.equal(moved[name], kept) for name, kept in mask.items())
    back = match(graph, model.state_dict(), other, seeded(0))
    assert equal(permuted(other, graph, back), model.state_dict())
    assert equal(permuted(moved, graph, back), dict(mask))


def test_a_residual_stream_has_one_permutation() -> None:
    """Layers that add to the same stream write the same group, so what is found for one holds for all."""
    model = network("cifar_resnet_20_4", 1)
    graph = channel_graph(model)
    found = match(graph, model.state_dict(), permuted_copy(model, 2).state_dict(), seeded(0))
    stream = {layer.writes for layer in graph.layers if layer.name in ("conv1", "layer1.0.conv2", "layer1.2.conv2")}
    assert len(stream) == 1
    assert stream <= set(found)
    assert set(found) == set(graph.sizes) - graph.pinned


def test_matching_never_leads_away_from_another_network() -> None:
    first, second = (network("cifar_resnet_8_4", seed) for seed in (1, 2))
    graph, names = channel_graph(first), [name for name, _ in first.named_parameters()]

    def distance(tensors: dict[str, Tensor]) -> float:
        return sum(float((first.state_dict()[name] - tensors[name]).square().sum()) for name in names) ** 0.5

    found = match(graph, first.state_dict(), second.state_dict(), seeded(0))
    assert distance(permuted(second.state_dict(), graph, found)) < distance(second.state_dict())
    itself = match(graph, first.state_dict(), first.state_dict(), seeded(0))
    assert share_moved(itself) == 0


def test_a_layer_that_reads_and_writes_one_stream_is_brought_back() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, padding=1)
            self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv1(x)
            x = x + self.conv2(x)
            logits: Tensor = self.fc(self.pool(x).flatten(1))
            return logits

    torch.manual_seed(0)
    model = Recurrent()
    graph, other = channel_graph(model), permuted_copy(model, 2)
    assert {(layer.name, layer.reads == layer.writes) for layer in graph.layers if layer.reads is not None} == {
        ("conv2", True), ("fc", False),
    }  # fmt: skip
    found = match(graph, model.state_dict(), other.state_dict(), seeded(0))
    assert equal(permuted(other.state_dict(), graph, found), model.state_dict())


def test_a_network_that_is_not_finite_stays_as_it_is() -> None:
    model = network("mnist_lenet_12_10", 1)
    other = permuted_copy(model, 2)
    other.state_dict()["fc.weight"][0, 0] = torch.nan
    assert share_moved(match(channel_graph(model), model.state_dict(), other.state_dict(), seeded(0))) == 0


@pytest.mark.parametrize("name", SMALL)
def test_between_a_network_and_its_permuted_self_there_is_no_barrier_once_aligned(name: str, digits) -> None:
    model = network(name, 1)
    graph, other = channel_graph(model), permuted_copy(model, 2)
    meter = Meter(digits, TrainingHparams(), Examples(train=100, batchnorm=100))
    found = match(graph, model.state_dict(), other.state_dict(), seeded(0))
    aligned = permuted(other.state_dict(), graph, found)
    raw, matched = (
        walk(Line(copy.deepcopy(model), model.state_dict(), second), meter, (1, 2), even_alphas(3), treatments=ALIGNED)
        for second in (other.state_dict(), aligned)
    )
    before, after = (
        [row.loss for row in rows if (row.split, row.batchnorm) == ("test", "aligned")] for rows in (raw, matched)
    )
    assert before[0] != before[1]
    assert after[0] == after[1] == after[2]
    assert barrier(after) == 0


def test_what_cannot_be_traced_is_refused_in_one_line(context: Context) -> None:
    class Undecided(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(UsageError, match=r"^--align: Undecided cannot be traced \(symb.*\); leave the flag out$"):
        check_alignable(Undecided(), SHAPE, context)


BLOCKED = {
    "grouped": lambda: [nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 18, 3, groups=3), nn.PReLU(18),
                        nn.Conv2d(18, 12, 1, groups=3), nn.ReLU()],
    "GroupNorm": lambda: [nn.Conv2d(1, 12, 3), nn.GroupNorm(4, 12), nn.ReLU(), nn.Dropout(0.5)],
    "depthwise": lambda: [nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU6(), nn.Conv2d(6, 6, 3, groups=6), nn.ReLU6(),
                          nn.Conv2d(6, 12, 3, groups=6), nn.ReLU()],
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKED)
def test_channels_in_blocks_are_brought_back(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*BLOCKED[name](), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.uniform_(0.5, 1.5)
    graph, x = channel_graph(model), torch.rand(4, 1, 8, 8)
    for seed in range(3):
        other = copy.deepcopy(model)
        other.load_state_dict(permuted(model.state_dict(), graph, graph.random_orders(seeded(seed))))
        assert not equal(model.state_dict(), other.state_dict())
        torch.testing.assert_close(other(x), model(x))
        found = match(graph, model.state_dict(), other.state_dict(), seeded(0))
        assert equal(permuted(other.state_dict(), graph, found), model.state_dict())


def test_blocks_by_hand() -> None:
    """Two blocks of two: each fits best in the other's place, the second one turned round."""
    similarity = torch.tensor([[0.0, 0, 0, 5], [0, 0, 5, 0], [5, 0, 1, 0], [0, 5, 0, 1]])
    assert block_assignment(similarity, 2, in_place=False).tolist() == [3, 2, 0, 1]
    assert block_assignment(similarity, 2, in_place=True).tolist() == [0, 1, 2, 3]


def test_how_many_channels_can_move_is_said_once(context: Context, listener) -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 5), nn.Dropout(), nn.Linear(5, 3), nn.Softmax(1), nn.Linear(3, 10)
    )
    for _ in range(2):
        check_alignable(model, SHAPE, context)
    assert listener.said == ["--align: 5 of the 8 hidden channels of Sequential can move"]


def test_where_none_can_move_that_is_said_by_name(context: Context) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Softmax(1), nn.Linear(5, 10))
    said = (
        "--align: none of the 5 hidden channels of Sequential can move: 2 must have theirs in order; leave the flag out"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(said)}$"):
        check_alignable(model, SHAPE, context)


class Hiding(nn.Module):
    """Uses a weight in a way that no tracing sees."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 9, 3), nn.Linear(9, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.fine(x)).mean((2, 3))
        answers: Tensor = self.fc(x)
        return answers + float(self.state_dict()["conv.weight"][0].sum())


def test_a_permuted_network_that_is_another_function_is_refused_by_name(context: Context) -> None:
    # The sum over input channels does not depend on their order: those of `fine` may move.
    said = "--align: Hiding with the channels of conv in another order is another function; leave the flag out"
    with pytest.raises(UsageError, match=f"^{re.escape(said)}$"):
        check_alignable(Hiding(), SHAPE, context)


# In an analysis ------------------------------------------------------------------------------------------------------


def test_an_analysis_says_what_permutations_are_part_of_its_barrier(
    tmp_path: Path, make_runner: Callable[..., AnalysisAtK]
) -> None:
    plain = make_runner(tmp_path, k="0ep")
    plain.compare()
    before = plain.result()
    trained = plain.here.sub("child_1").read_bytes("done.json")
    runner = make_runner(tmp_path, k="0ep", align=True)
    assert not runner.done
    runner.compare()
    assert runner.here.path == plain.here.path
    assert runner.here.sub("child_1").read_bytes("done.json") == trained  # children are shared
    after = runner.result()
    assert runner.done
    assert after.treatments == ("raw", "recalculated", "aligned", "aligned_recalculated")
    barriers = after.error_barrier.test
    assert None not in (barriers.aligned, barriers.aligned_recalculated)
    assert barriers.raw == before.error_barrier.test.raw
    [pair] = after.pairs
    assert pair.aligned_l2 <= pair.l2
    assert 0 <= pair.channels_moved <= 1
    assert "test_error_barrier_aligned_recalculated" in after.summary()
    assert "channels_moved" not in before.summary()
    again = make_runner(tmp_path, k="0ep")  # without the flag
    again.compare()
    assert again.result() == before
