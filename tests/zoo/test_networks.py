"""The zoo itself: what is in it, and that its networks are networks."""

import inspect

import torch
from torch import nn

from tests.zoo.looking import dtype_of, images, made, scores_of
from tests.zoo.networks import ZOO

NO_LAYERS = {
    "Module", "Container", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "RNNBase", "RNNCellBase",
}  # fmt: skip
NOT_HERE = {"SyncBatchNorm"}  # for several GPUs


def test_every_layer_that_pytorch_has_is_in_it() -> None:
    """Losses apart, those that only hold others, those for several GPUs, and lazy forms of what is there."""
    layers = {
        name for name, one in vars(nn).items()
        if inspect.isclass(one) and issubclass(one, nn.Module) and "Loss" not in name and "Lazy" not in name
    }  # fmt: skip
    seen = {type(module).__name__ for make in ZOO.values() for module in make().modules()}
    assert len(ZOO) >= 60
    assert sorted(layers - seen - NO_LAYERS - NOT_HERE) == []


def test_each_gives_ten_scores(name: str) -> None:
    model = made(name)
    scores = scores_of(model.train()(images(dtype=dtype_of(model))))
    assert scores.shape == (4, 10)
    assert scores.isfinite().all()
    assert scores.requires_grad


def test_the_same_seed_makes_the_same_network(name: str) -> None:
    one, other = (made(name).state_dict() for _ in range(2))
    assert all(
        torch.equal(value, other[key])
        for key, value in one.items()
        if not isinstance(value, nn.parameter.UninitializedTensorMixin)
    )
