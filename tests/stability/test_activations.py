"""Activation matching: what it finds, where weights say nothing, and what an analysis makes of it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from pruning.channels import ChannelGraph
from pruning.graph import channel_graph
from stability import AnalysisAtK, AnalysisHparams
from stability.activations import correlations, match_activations
from stability.alignment import Permutations, match, permuted, share_moved
from tests.stability.test_alignment import BLOCKED, SMALL, network, permuted_copy, seeded

Batches = list[tuple[Tensor, Tensor]]


def images(count: int = 40, size: int = 8) -> Batches:
    data = torch.rand(count, 1, size, size, generator=seeded(7))
    return [(data[: count // 2], torch.zeros(count // 2)), (data[count // 2 :], torch.zeros(count // 2))]


def test_correlations_by_hand() -> None:
    """Unit 0 of the second network falls where the first's rises, unit 1 is twice the first's, unit 2 never changes."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2), nn.Linear(2, 1))
    graph = channel_graph(model)
    [hidden] = set(graph.sizes) - graph.pinned
    first = {**model.state_dict(), "1.weight": torch.tensor([[1.0], [1.0]]), "1.bias": torch.zeros(2)}
    second = {**first, "1.weight": torch.tensor([[-1.0], [0.0]])}
    batches = [(torch.tensor([[[[0.0]]], [[[1.0]]]]), torch.zeros(2)), (torch.tensor([[[[3.0]]]]), torch.zeros(1))]
    assert correlations(graph, model, first, second, batches)[hidden].round(decimals=6).tolist() == [[-1, 0], [-1, 0]]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{name: partial(network, name, 1) for name in SMALL},
    **{
        name: lambda layers=layers: nn.Sequential(
            *layers(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)
        ).eval()
        for name, layers in BLOCKED.items()
    },
}


@pytest.mark.parametrize("name", NETWORKS)
def test_of_a_permuted_copy_each_channel_is_found_that_answers_anything(name: str) -> None:
    """Those that are dead on all images look alike; between the others that correspond the correlation is 1."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    graph, first = channel_graph(model), model.state_dict()
    other = permuted_copy(model, 2).state_dict()
    found = match_activations(graph, model, first, other, images())
    assert share_moved(found) > 0
    itself = correlations(graph, model, first, first, images())
    aligned = correlations(graph, model, first, permuted(other, graph, found), images())
    assert itself
    for group, expected in itself.items():
        torch.testing.assert_close(aligned[group].diagonal(), expected.diagonal())


def test_units_are_found_by_what_they_answer_where_weights_mislead() -> None:
    """The second network has the units of the first turned round, a hundredth and a hundred times as large."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    graph = channel_graph(model)
    [hidden] = set(graph.sizes) - graph.pinned
    first = {"1.weight": torch.tensor([[1.0, 0.0], [0.9, 1.0]]), "3.weight": torch.tensor([[1.0, 1.0]])}
    second = {"1.weight": torch.tensor([[90.0, 100.0], [0.01, 0.0]]), "3.weight": torch.tensor([[1.0, 1.0]])}
    data = [(torch.rand(50, 1, 1, 2, generator=seeded(0)), torch.zeros(50))]
    assert match_activations(graph, model, first, second, data)[hidden].tolist() == [1, 0]


def test_a_network_that_is_not_finite_stays_as_it_is() -> None:
    model = network("mnist_lenet_12_10", 1)
    other = permuted_copy(model, 2).state_dict()
    other["fc1.weight"].fill_(torch.nan)
    found = match_activations(channel_graph(model), model, model.state_dict(), other, images())
    assert share_moved(found) == 0


# In an analysis ------------------------------------------------------------------------------------------------------


def test_both_ways_of_matching_stand_side_by_side_and_trainings_are_shared(
    tmp_path: Path, make_runner: Callable[..., AnalysisAtK], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an order drawn at random in place of that by activations, which here moves as little as that by weights."""

    def drawn(graph: ChannelGraph, *_: object) -> Permutations:
        return graph.random_orders(seeded(0))

    monkeypatch.setattr("stability.comparison.match_activations", drawn)
    weights = make_runner(tmp_path, k="0ep", align=True)
    weights.compare()
    before, rows = weights.result(), weights.here.read_table("interpolation.csv")
    activations = make_runner(tmp_path, k="0ep", align=True, align_by="activations")
    assert not activations.done
    activations.compare()
    after = activations.result()
    assert activations.done
    assert activations.here.path == weights.here.path
    assert after.error_barrier.test.raw == before.error_barrier.test.raw
    assert None not in (after.error_barrier.test.aligned, after.error_barrier.test.aligned_recalculated)
    assert after.pairs[0].aligned_l2 > before.pairs[0].aligned_l2
    assert after.error_barrier.test.aligned > before.error_barrier.test.aligned
    written = activations.here.read_table("interpolation.csv")
    assert all(row in written for row in rows)  # those of the other way stay, under their names
    assert {row["batchnorm"] for row in written} == {
        "raw", "recalculated", "aligned", "aligned_recalculated", "aligned_activations",
        "aligned_recalculated_activations",
    }  # fmt: skip
    again = make_runner(tmp_path, k="0ep", align=True)
    again.compare()
    assert again.result() == before


def test_all_children_are_aligned_to_the_first(tmp_path: Path, make_runner: Callable[..., AnalysisAtK]) -> None:
    """The third child then lies as the first has it, whichever pair it is in."""
    given = {"k": "0ep", "align": True, "children": 3}
    each, first = (make_runner(tmp_path, **given, align_to=to) for to in ("each_other", "first"))
    each.compare()
    by_pair = {pair.children: pair for pair in each.result().pairs}
    first.compare()
    by_first = {pair.children: pair for pair in first.result().pairs}
    for pair in ((1, 2), (1, 3)):
        assert by_first[pair].error_barrier == by_pair[pair].error_barrier
    assert by_first[2, 3].channels_moved == by_first[1, 3].channels_moved
    graph, weights = channel_graph(first.trunk.fresh().model), first.children.weights
    generators = [first.trunk.seeds.generator("weight matching", 1, number) for number in (2, 3)]
    orders = [match(graph, weights(1), weights(n), drawn) for n, drawn in zip((2, 3), generators, strict=True)]
    two, three = (permuted(weights(number), graph, order) for number, order in zip((2, 3), orders, strict=True))
    names = [name for name, _ in first.trunk.fresh().model.named_parameters()]
    squares = sum(float((two[name].double() - three[name].double()).square().sum()) for name in names)
    assert by_first[2, 3].aligned_l2 == pytest.approx(squares**0.5)


def test_a_way_of_aligning_without_aligning_is_refused() -> None:
    with pytest.raises(UsageError, match="--align_by=activations: nothing is aligned; give --align, too"):
        AnalysisHparams(align_by="activations")
