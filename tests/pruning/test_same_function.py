"""Two networks are the same function, or they are not: one forward pass tells."""

import copy

import torch
from torch import Tensor, nn

from pruning.same_function import example_of, perturbed, same_function


def differ(first: nn.Module, second: nn.Module, *, training: bool = False) -> bool:
    example = example_of(1, 2, 2)
    return not same_function(first, first.state_dict(), second, second.state_dict(), example, training=training)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))


def test_a_network_is_itself_with_its_units_in_another_order() -> None:
    first, second = network(), network()
    with torch.no_grad():
        for module in (second[1], second[2]):
            for tensor in (module.weight, module.bias):
                tensor.copy_(tensor[[2, 0, 1]].clone())
        assert differ(first, second)
        second[4].weight.copy_(second[4].weight[:, [2, 0, 1]].clone())
    assert not differ(first, second, training=True)


def test_a_difference_of_one_weight_is_seen() -> None:
    first, second = network(), network()
    second[4].weight.data[0, 0] += 1e-3
    assert differ(first, second)


def test_statistics_count_in_evaluation_and_random_numbers_in_training() -> None:
    first, second = network(), network()
    second[2].running_mean += 0.1
    assert differ(first, second)
    second = nn.Sequential(*network(), nn.Dropout(0.5))
    assert not differ(first, second)
    assert differ(first, second, training=True)


def test_neither_network_nor_the_random_numbers_of_others_are_touched() -> None:
    net, state = network(), torch.get_rng_state()
    before = copy.deepcopy(net.state_dict())
    differ(net, net, training=True)
    assert torch.equal(state, torch.get_rng_state())
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_a_network_that_makes_float32_is_compared_in_float32() -> None:
    class Float(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flatten(1).float())

    first, second = Float(4, 2), Float(4, 2)
    assert not differ(first, first)
    assert differ(first, second)


def test_what_is_zero_or_alike_at_initialization_is_no_longer() -> None:
    tensors = {"scale": torch.zeros(4), "variance": torch.ones(4), "count": torch.tensor(3)}
    found = perturbed(tensors)
    assert len(found["scale"].unique()) == len(found["variance"].unique()) == 4
    assert (found["variance"] > 0).all()
    assert found["count"] == 3
