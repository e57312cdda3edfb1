"""SynFlow on networks so deep that its flow does not fit into float32."""

import pytest
import torch
from torch import Tensor, nn

from models import ImageShape, ModelHparams, build
from pruning import Batches, PruningHparams, has_path, prune, strategies

SHAPE = ImageShape(channels=3, height=32, width=32, classes=10)


class Bottleneck(nn.Module):
    """ResNet-50's block (He et al. 2016)."""

    def __init__(self, channels_in: int, width: int, stride: int):
        super().__init__()
        channels_out = 4 * width
        self.inner = nn.Sequential(
            nn.Conv2d(channels_in, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            convolution = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x) + self.shortcut(x))


def resnet_50() -> nn.Sequential:
    """ResNet-50 in full width and depth, with a stem for small images."""
    stem = [nn.Conv2d(3, 64, 7, 4, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    blocks, channels = [], 64
    for width, count in [(64, 3), (128, 4), (256, 6), (512, 3)]:
        for number in range(count):
            blocks.append(Bottleneck(channels, width, 2 if number == 0 and width > 64 else 1))
            channels = 4 * width
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def vgg_16() -> nn.Module:
    hparams = ModelHparams(model="cifar_vgg_16", batchnorm_init="ones")
    return build(hparams, SHAPE, torch.Generator().manual_seed(0))


def images() -> Batches:
    pixels = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return Batches([(pixels, torch.arange(16) % 10)], [pixels], pixels.mean(0))


def layers_pruned_by_synflow(model: nn.Module) -> int:
    """Prunes to 10%; raises if a score is not finite. In two iterations: a single one would cut ResNet-50 through."""
    hparams = PruningHparams(pruning_iterations=2)
    mask = prune(strategies.get("synflow")(), model, images(), hparams, 0.1, torch.Generator())
    assert has_path(model, mask, (3, 32, 32))
    return sum(not entry.all() for entry in mask.values())


@pytest.mark.parametrize("network", [vgg_16, resnet_50])
def test_flow_is_finite_at_initialization_and_after_training(network):
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = network()
    assert layers_pruned_by_synflow(model) > 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for inputs, labels in images():
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    assert layers_pruned_by_synflow(model) > 10


def test_resnet_50_overflows_float32():
    """Which is why SynFlow scores in float64."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = resnet_50().eval()
    for parameter in model.parameters():
        parameter.data.abs_()
    ones = torch.ones(1, 3, 32, 32)
    with torch.no_grad():
        assert not model(ones).isfinite().all()
        assert model.double()(ones.double()).isfinite().all()
