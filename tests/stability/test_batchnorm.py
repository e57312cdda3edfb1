"""Recalculated statistics are BatchNorm's own cumulative average, without its waiting for the device."""

import copy

import pytest
import torch
from torch import Tensor, nn

from models import ImageShape, ModelHparams, build
from stability.interpolation import Batches, batchnorms, recalculate

SHAPE = ImageShape(1, 8, 8, 10)


class Twice(nn.Module):
    """One layer that sees two passes for each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, images: Tensor) -> Tensor:
        return torch.as_tensor(self.norm(self.norm(images) * 3 + 1))


def resnet() -> nn.Module:
    return build(ModelHparams(model="cifar_resnet_8_4"), SHAPE, torch.Generator().manual_seed(0))


def batches(device: str = "cpu") -> Batches:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(size, 1, 8, 8, generator=generator).to(device), torch.zeros(size)) for size in (20, 20, 20)]


@torch.no_grad()
def by_pytorch(model: nn.Module) -> None:
    """What PyTorch does with the momentum None."""
    model.eval()
    for layer in batchnorms(model):
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()
    for images, _ in batches():
        model(images)


@pytest.mark.parametrize("model", [resnet(), Twice()], ids=["ResNet", "a layer used twice"])
def test_the_statistics_have_the_bits_of_pytorchs_cumulative_average(model: nn.Module) -> None:
    expected = copy.deepcopy(model)
    by_pytorch(expected)
    for _ in range(2):  # the second time it starts anew
        recalculate(model, batches())
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, expected.state_dict()[name]), name


def test_modes_and_momenta_are_put_back() -> None:
    model = resnet().train()
    first, *others = batchnorms(model)
    first.momentum = 0.5
    first.eval()
    recalculate(model, batches())
    assert [layer.momentum for layer in (first, *others)] == [0.5, *[0.1] * len(others)]
    assert [layer.training for layer in (first, *others)] == [False, *[True] * len(others)]
    assert model.training
    model(torch.randn(4, 1, 8, 8))
    assert first.momentum == 0.5


def test_the_device_is_not_asked_for_a_value() -> None:
    """The meta device has none to give."""
    recalculate(resnet().to("meta"), batches("meta"))


def recalculated(sizes: tuple[int, ...], images: Tensor) -> nn.BatchNorm1d:
    layer = nn.BatchNorm1d(1)
    recalculate(nn.Sequential(layer), [(part, torch.zeros(len(part))) for part in images.split(sizes)])
    return layer


def test_every_image_counts_the_same_by_hand() -> None:
    """Means 1 of three images and 5 of two: (3 * 1 + 2 * 5) / 5; variances 1 and 2 likewise."""
    layer = recalculated((3, 2), torch.tensor([[0.0], [1.0], [2.0], [4.0], [6.0]]))
    assert layer.running_mean.item() == pytest.approx(13 / 5)
    assert layer.running_var.item() == pytest.approx((3 * 1 + 2 * 2) / 5)


def test_a_last_batch_of_one_image_joins_the_one_before_it() -> None:
    images = torch.randn(9, 1, generator=torch.Generator().manual_seed(0))
    layer, expected = recalculated((4, 4, 1), images), recalculated((4, 5), images)
    assert layer.running_mean.item() == pytest.approx(images.mean().item())
    assert torch.equal(layer.running_var, expected.running_var)


def test_a_last_image_is_not_worth_five_hundred() -> None:
    """501 images, the last far from the others: the mean moves by 100 / 501, not by 50."""
    layer = recalculated((500, 1), torch.cat([torch.zeros(500, 1), torch.full((1, 1), 100.0)]))
    assert layer.running_mean.item() == pytest.approx(100 / 501)
