"""Multiply-adds against PyTorch's own counter, and paths against brute force."""

import functools

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from adsynflow import ImageShape, Mask
from pruning import effective_mask, has_path
from pruning.weight_use import output_positions
from tests.zoo.looking import dtype_of, images, made, scores_of, unless_refused
from tests.zoo.masking import random_mask

SHAPE = ImageShape(1, 8, 8, 10)
OF_ACTIVATIONS = ("bmm", "scaled_dot_product")


COUNTED_OTHERWISE = {
    "orthogonal": 16 * 16 * 16, "merged_lora": 16 * 2 * 16,  # PyTorch counts what computes the weights, too
    "fixed_filters": 72 * 16, "random_features": 64 * 32,  # and products with buffers
    "lstm": -2 * 8 * (4 * 8) * 8, "bilinear": -16 * 8 * 8,  # but neither this kernel nor this one
    # Weights of which a part is used more often than the rest count in whole numbers.
    "functional_use": -16 * 8, "transformer": -64, "perceiver": 64,
}  # fmt: skip


def counted_by_pytorch(model: nn.Module) -> int:
    """Multiply-adds of one image: half of the floating-point operations, those between activations left out."""
    torch.backends.mha.set_fastpath_enabled(False)
    with FlopCounterMode(display=False) as counter:
        model.eval()(images(1, dtype=dtype_of(model)))
    torch.backends.mha.set_fastpath_enabled(True)
    counts = counter.get_flop_counts()["Global"].items()
    return sum(count for what, count in counts if not any(part in str(what) for part in OF_ACTIVATIONS)) // 2


def test_multiply_adds_are_those_that_pytorch_counts(name: str) -> None:
    with unless_refused(name, "count"):
        model = made(name)
        positions = output_positions(model, SHAPE)
        ours = sum(dict(model.named_parameters())[layer].numel() * count for layer, count in positions.items())
        assert ours == counted_by_pytorch(made(name)) - COUNTED_OTHERWISE.get(name, 0)


UNTOLD = {"checkpointed", "scripted"}
"""Networks of which paths cannot be told."""


def test_the_dense_network_has_a_path_and_the_empty_one_has_none(name: str) -> None:
    with unless_refused(name, "path"):
        model = made(name)
        assert has_path(model, Mask.ones(model), (1, 8, 8)) is (None if name in UNTOLD else True)
        empty = Mask({layer: torch.zeros_like(kept) for layer, kept in Mask.ones(model).items()})
        assert not (empty and has_path(model, empty, (1, 8, 8)))


NOT_PATHS_ALONE = {
    # Normalization over channels, or over weights: each of them moves what is made of all others.
    "convnext", "cosine_head", "GroupNorm", "LayerNorm", "RMSNorm", "mixer", "gmlp", "swiglu", "vit_class_token",
    "spectral_norm", "spectral_norm_convolution", "spectral_norm_old",
    "perceiver",  # constants multiply what is made of images
}  # fmt: skip


def test_a_weight_is_on_a_path_if_taking_it_away_changes_how_scores_differ_between_images(name: str) -> None:
    """By brute force, for some weights of each layer.

    A weight that is on no path may still move a constant, which an activation behind it sees. So the converse is held
    only for networks that make nothing of nothing, once their biases are zero.
    """
    with unless_refused(name, "path", "effective"):
        model = made(name)
        mask = random_mask(model, 0.15)
        effective = effective_mask(model, mask, (1, 8, 8))
        drawn = functools.cache(lambda seed: network_of_random_weights(made(name), mask, seed))
        for layer, kept in mask.items():
            for place in some((kept & effective[layer]).nonzero()):
                assert any(changes(drawn(seed), layer, place) for seed in range(24)), (layer, place)
            if name not in NOT_PATHS_ALONE and all(makes_nothing_of_nothing(drawn(seed)) for seed in range(4)):
                for place in some((kept & ~effective[layer]).nonzero()):
                    assert not any(changes(drawn(seed), layer, place) for seed in range(4)), (layer, place)


def some(places: Tensor) -> list[tuple[int, ...]]:
    return [tuple(place) for place in places[:: max(1, len(places) // 3)][:3].tolist()]


@torch.no_grad()
def network_of_random_weights(model: nn.Module, mask: Mask, seed: int) -> nn.Module:
    """``model``, masked and without biases, its weights drawn at random: mostly positive ones, or both signs alike."""
    network, generator = model.double().eval(), torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.is_floating_point():
            drawn = torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.copy_((1 + seed) / 2 * (drawn - (0.5 if seed % 2 and parameter.dim() > 1 else 0.1)))
    mask.apply_(network)
    return network


@torch.no_grad()
def changes(network: nn.Module, layer: str, place: tuple[int, ...]) -> bool:
    """Whether the scores of images differ otherwise from each other without one of the weights."""
    weight = network.get_parameter(layer)
    with_it, value = differences(network), weight[place].clone()
    weight[place] = 0
    without_it = differences(network)
    weight[place] = value
    return not torch.allclose(with_it, without_it, rtol=1e-9, atol=1e-13)


def differences(network: nn.Module) -> Tensor:
    scores = scores_of(network(images(6, dtype=torch.float64)))
    return scores - scores[:1]


@torch.no_grad()
def makes_nothing_of_nothing(network: nn.Module) -> bool:
    return not scores_of(network(torch.zeros(1, 1, 8, 8, dtype=torch.float64))).any()

