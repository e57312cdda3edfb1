"""Networks whose channels are taken out or permuted compute the same function, in float64."""

import torch
from torch import Tensor

from adsynflow import Mask, channel_graph, compact, prunable
from stability.alignment import permuted
from tests.zoo.looking import images, made, unless_refused
from tests.zoo.masking import random_mask


def test_permuted_channels_change_nothing(name: str) -> None:
    with unless_refused(name, "trace"):
        model = made(name).double().eval()
        expected = model(images(dtype=torch.float64))
        graph = channel_graph(model)
        orders = graph.random_orders(torch.Generator().manual_seed(1))
        other = made(name).double().eval()
        other.load_state_dict(permuted(model.state_dict(), graph, orders))
        torch.testing.assert_close(other(images(dtype=torch.float64)), expected)


def test_the_compact_network_is_the_masked_one(name: str) -> None:
    """In evaluation and in training, where batch statistics are taken."""
    with unless_refused(name, "trace", "compact"):
        model = made(name).double()
        mask = few_channels(made(name))
        mask.apply_(model)
        small = compact(model, mask, round_to=1)
        for training in (False, True):
            outputs: list[Tensor] = []
            for network in (model, small.model):
                torch.manual_seed(5)
                outputs.append(network.train(training)(images(dtype=torch.float64)))
            torch.testing.assert_close(*outputs)


def few_channels(model: torch.nn.Module) -> Mask:
    """A mask of which every second output channel of a layer, and a few weights more, are pruned."""
    entries = {name: kept.clone() for name, kept in random_mask(model, 0.6).items()}
    for name, kept in entries.items():
        if kept.dim() > 1 and prunable(model)[name].shape[1] > 2:
            kept[:, 1::2] = False
    return Mask(entries)
