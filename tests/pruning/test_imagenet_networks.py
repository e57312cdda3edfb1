"""Strategies on the networks for large images, here shown small ones."""

import pytest
import torch

from models import ImageShape, ModelHparams, build
from pruning import Batches, PruningHparams, prunable, prune

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
