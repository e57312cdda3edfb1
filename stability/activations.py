"""Activation matching: channels correspond that answer alike to the same images, whatever their weights are."""

from collections.abc import Iterable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from pruning.channels import ChannelGraph
from pruning.weight_use import copied
from stability.alignment import Matching, Permutations, Tensors

Correlations = Mapping[int, Tensor]
"""By group of channels (channels, channels): rows are those of the first network, columns those of the second."""


def match_activations(
    graph: ChannelGraph, model: nn.Module, first: Tensors, second: Tensors, batches: Iterable[tuple[Tensor, Tensor]]
) -> Permutations:
    """Permutations of ``second`` that bring its channels' answers close to those of ``first``.

    They maximize the sum of the correlations of corresponding channels, group by group, each exactly: a linear
    assignment (Li et al. 2016, arXiv 1511.07543; for merging networks Jordan et al. 2022, arXiv 2211.08403). Channels
    that never change are not told apart.

    Args:
        graph: the channels of both networks.
        model: a network of this kind, on the device of the images.
        first: the network that stays.
        second: the network that is permuted.
        batches: images, with labels that are not used.

    Returns:
        A permutation for each group that is not pinned; identities where answers are not finite.
    """
    matching = MatchingByAnswers(graph, first, second)
    matching.correlations = correlations(graph, model, first, second, batches)
    matching.pass_forward()
    return matching.permutations


class MatchingByAnswers(Matching):
    """As by weights, with channels that are similar as far as their answers are correlated."""

    correlations: Correlations

    def similarity(self, group: int, decided: Iterable[int]) -> Tensor:
        size = self.graph.sizes[group]
        return self.correlations.get(group, torch.zeros(size, size))[:, self.permutations[group]]


@torch.no_grad()
def correlations(
    graph: ChannelGraph, model: nn.Module, first: Tensors, second: Tensors, batches: Iterable[tuple[Tensor, Tensor]]
) -> Correlations:
    """Return Pearson's correlations of the channels of two networks, over images and positions, in float64.

    Channels are compared where they are read, behind norm and non-linearity; a group that several layers read, as a
    residual stream, has the sum over these. Correlations with what never changes are 0.
    """
    readers = {one.name: one.reads for one in graph.layers if one.reads is not None and one.reads not in graph.pinned}
    networks = []
    for tensors in (first, second):
        network = copied(model).eval()
        network.load_state_dict(dict(tensors))
        networks.append((network, watch(network, readers, graph)))
    moments: dict[str, Tensor] = {}
    for images, _ in batches:
        for network, _ in networks:
            network(images)
        for name in readers:
            one, other = (seen.pop(name, None) for _, seen in networks)
            if one is not None and other is not None:
                both = torch.cat([one, other, torch.ones_like(one[:, :1])], 1)
                moments[name] = moments.get(name, torch.zeros(())) + both.T @ both
    found: dict[int, Tensor] = {}
    for name, sums in moments.items():
        group = readers[name]
        found[group] = found.get(group, torch.zeros(())) + correlation(sums, graph.sizes[group])
    return found


def watch(network: nn.Module, readers: Mapping[str, int], graph: ChannelGraph) -> dict[str, Tensor]:
    """Return a dictionary that forward passes fill with what layers read, (images * positions, channels) in float64."""
    seen: dict[str, Tensor] = {}

    def look(name: str, group: int, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].cpu().double()
        channels_last = values if isinstance(layer, nn.Linear) else values.movedim(1, -1)
        by_channel = channels_last.unflatten(-1, (graph.sizes[group], -1))  # flattened, a channel has several places
        seen[name] = by_channel.movedim(-2, -1).flatten(0, -2)

    for name, group in readers.items():
        network.get_submodule(name).register_forward_pre_hook(partial(look, name, group))
    return seen


def correlation(sums: Tensor, channels: int) -> Tensor:
    """Return (channels, channels) from the sums of products of ``[first, second, 1]``, (2 * channels + 1) squared."""
    means = sums / sums[-1, -1]
    covariance = means[:-1, :-1] - means[-1, :-1].outer(means[-1, :-1])
    deviation = covariance.diagonal().clamp_min(0).sqrt()
    result = covariance / deviation.outer(deviation)
    return result.nan_to_num(0, 0, 0)[:channels, channels:]
