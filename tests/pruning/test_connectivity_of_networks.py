"""Paths through what people write by hand: the dense network has all its weights on paths, and none without a layer."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundations.errors import UsageError
from lottery.masks import sparsity_report
from models import ImageShape
from pruning import Mask, effective_mask, has_path
from tests.pruning.networks import SHAPE, Apply, OwnLayerNorm, convolutional, mlp

BY_HAND: dict[str, Callable[[Tensor], Tensor]] = {
    "centred": lambda x: x - x.mean(1, keepdim=True),
    "standardized over the batch": lambda x: (x - x.mean(0)) / x.std(0),
    "normalized": F.normalize,
    "root mean square": lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True)),
    "min and max": lambda x: (x - x.min()) / (x.max() - x.min()),
    "softshrink": F.softshrink,
    "hardshrink": lambda x: F.hardshrink(x, 3.0),
    "threshold": lambda x: F.threshold(x, 20.0, 0.0),
    "a threshold of its own": lambda x: x * (x > 0.9),
    "both signs": lambda x: torch.cat([F.relu(x), F.relu(-x)], 1)[:, 12:],
    "clamped": lambda x: x.clamp(0, 0.1),
    "maxout": lambda x: torch.maximum(x, x.flip(1)),
    "gate": lambda x: x * torch.sigmoid(x.flip(1) - 1e4),
    "noise": lambda x: x + torch.randn_like(x),
    "dropout": F.dropout,
    "single precision": lambda x: x.float(),
    "in place": lambda x: x.sigmoid_(),
}
POOLED: dict[str, Callable[[Tensor], Tensor]] = {
    "adaptive maximum": lambda x: F.adaptive_max_pool2d(x, 2),
    "overlapping": lambda x: F.max_pool2d(x, 3, 2, padding=1, ceil_mode=True),
    "dilated": lambda x: F.max_pool2d(x, 2, dilation=2),
    "maximum over pixels": lambda x: x.amax((2, 3)),
    "maximum of one dimension": lambda x: x.flatten(2).max(2)[0],
    "by name": lambda x: F.max_pool2d(input=x, kernel_size=2),
}
MODELS = {
    **{name: lambda function=function: mlp(Apply(function)) for name, function in BY_HAND.items()},
    **{name: lambda function=function: convolutional(function) for name, function in POOLED.items()},
    "log-softmax": lambda: nn.Sequential(*mlp(), nn.LogSoftmax(1)),
    "softmax": lambda: nn.Sequential(*mlp(), nn.Softmax(1)),
    "own layer normalization": lambda: mlp(OwnLayerNorm(12)),
    "recurrent": lambda: nn.Sequential(
        nn.Flatten(1, 2), nn.LSTM(8, 64), Apply(lambda found: found[0].mean(1)), nn.Linear(64, 10)
    ),
    "spectral": lambda: mlp(nn.utils.parametrizations.spectral_norm(nn.Linear(12, 12))),
    "old spectral": lambda: mlp(nn.utils.spectral_norm(nn.Linear(12, 12))),
}


@pytest.mark.parametrize("name", MODELS)
def test_all_weights_of_a_dense_network_are_on_paths_and_none_without_its_last_layer(name: str) -> None:
    model = MODELS[name]()
    dense = Mask.ones(model)
    last = list(dense)[-1]
    assert effective_mask(model, dense, SHAPE) == dense
    assert has_path(model, Mask({**dense, last: ~dense[last]}), SHAPE) is False


def test_units_that_hear_nothing_or_are_heard_by_nobody_stay_ineffective_behind_an_activation() -> None:
    model = mlp(Apply(lambda x: F.hardshrink(torch.tanh(x), 0.9)))
    first = torch.ones(12, 64, dtype=torch.bool)
    first[3] = False
    second = torch.ones(12, 12, dtype=torch.bool)
    second[:, 5] = False
    effective = effective_mask(model, Mask({**Mask.ones(model), "1.weight": first, "4.weight": second}), SHAPE)
    assert effective["1.weight"].any(1).tolist() == [unit not in (3, 5) for unit in range(12)]
    assert effective["4.weight"].any(0).tolist() == [unit not in (3, 5) for unit in range(12)]


def test_where_the_dense_network_shows_no_path_it_is_not_called_cut() -> None:
    constant = mlp(Apply(torch.zeros_like))
    assert has_path(constant, Mask.ones(constant), SHAPE) is None
    with pytest.raises(UsageError, match="Sequential: no path from input to output is found, not in the dense network"):
        effective_mask(constant, Mask.ones(constant), SHAPE)
    report = sparsity_report(constant, Mask.ones(constant), ImageShape(*SHAPE, 10))
    assert report["has_path"] is True
    assert "effective_density" not in report
