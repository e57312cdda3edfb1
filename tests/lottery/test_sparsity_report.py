"""What a report says of a mask."""

import torch
from torch import nn

from lottery.masks import sparsity_report
from models import ImageShape
from pruning import Mask, prunable


def test_the_compact_size_is_that_of_the_masked_network_whatever_its_other_weights_are() -> None:
    """4 pixels, 16 hidden units of which 5 reach a class (rounded up to 8), 2 classes."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    mask = Mask({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()})
    mask["3.weight"][:, 5:] = False
    before = [weight.clone() for weight in model.parameters()]
    report = sparsity_report(model, mask, ImageShape(1, 2, 2, 2), ())
    assert report["compact"] == {"parameters": 8 * (4 + 1) + 2 * (8 + 1), "multiply_adds": 8 * 4 + 2 * 8}
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
