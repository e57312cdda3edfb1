"""Strategies on the networks for large images, here shown small ones."""

import pytest
import torch

from models import ImageShape, ModelHparams, build
from pruning import Batches, PruningHparams, prunable, prune
from pruning.compaction import compact
from pruning.graph import channel_graph

SHAPE = ImageShape(3, 32, 32, 1000)


@pytest.mark.parametrize("strategy", ["synflow", "snip", "grasp"])
def test_scores_of_resnet_50_are_finite_and_keep_as_many_weights_as_asked_for(strategy: str) -> None:
    hparams = ModelHparams(model="imagenet_resnet_50", batchnorm_init="uniform")
    model = build(hparams, SHAPE, torch.Generator().manual_seed(1))
    total = sum(weight.numel() for weight in prunable(model).values())
    assert total == 25_502_912  # convolutions and the classifier, without its biases
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    once = PruningHparams(pruning_iterations=1)
    mask = prune(strategy, model, Batches.of([(images, torch.arange(4))]), once, density=0.1)
    assert sum(int(kept.sum()) for kept in mask.values()) == round(0.1 * total)


def test_they_are_torchvisions_but_for_the_images_channels() -> None:
    gray = build(ModelHparams(model="imagenet_resnet_18"), ImageShape(1, 64, 64, 10), torch.Generator().manual_seed(1))
    assert gray.conv1.weight.shape == (64, 1, 7, 7)
    assert gray(torch.zeros(2, 1, 64, 64)).shape == (2, 10)
    coloured = build(ModelHparams(model="imagenet_resnet_34"), SHAPE, torch.Generator().manual_seed(1))
    assert sum(parameter.numel() for parameter in coloured.parameters()) == 21_797_672  # torchvision's count


def test_their_channels_are_followed_through_the_blocks() -> None:
    """A block has one ReLU for all its layers, which joins no channels; what the block adds up is one stream."""
    graph = channel_graph(build(ModelHparams(model="imagenet_resnet_50"), SHAPE, torch.Generator().manual_seed(1)))
    layers = {layer.name: layer for layer in graph.layers}
    first, second = (layers[f"layer1.{block}.conv3"].writes for block in (0, 1))
    assert first == second == layers["layer1.0.downsample.0"].writes == layers["layer2.0.conv1"].reads
    assert layers["layer1.0.conv1"].writes == layers["layer1.0.conv2"].reads
    assert graph.pinned == {layers["fc"].writes}


def test_a_pruned_one_is_the_same_function_without_the_channels_that_do_nothing() -> None:
    shape = ImageShape(3, 32, 32, 10)
    model = build(ModelHparams(model="imagenet_resnet_18"), shape, torch.Generator().manual_seed(1)).double().eval()
    once = PruningHparams(pruning_iterations=1)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    mask = prune("synflow", model, Batches.of([(images.float(), torch.arange(2))]), once, density=0.02)
    mask.apply_(model)
    compacted = compact(model, mask, round_to=1).model
    assert sum(weight.numel() for weight in compacted.parameters()) < 0.7 * sum(map(torch.numel, model.parameters()))
    with torch.no_grad():
        torch.testing.assert_close(compacted(images), model(images))
