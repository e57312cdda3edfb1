"""Residual networks (He et al. 2016, arXiv 1512.03385) for small, middle-sized and large images."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from foundations.torchvision_import import import_torchvision
from models.registry import ImageShape, models


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut; where the shape changes, 1x1 convolution and BatchNorm."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False),
                    bn=nn.BatchNorm2d(channels_out),
                )
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)  # what backward needs of BatchNorm is its input
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out, inplace=True)


class ResNet(nn.Module):
    """A 3x3 convolution, stages of blocks called layer1, layer2, ..., average pooling, ``fc``.

    The stages have ``width``, 2 * ``width``, 4 * ``width``, ... channels; all but the first halve the image, rounding
    up. Input (N, channels, height, width), output (N, classes).
    """

    def __init__(self, shape: ImageShape, blocks: Sequence[int], width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(shape.channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stages = [f"layer{number}" for number in range(1, len(blocks) + 1)]
        channels = width
        for number, (name, count) in enumerate(zip(self.stages, blocks, strict=True)):
            self.add_module(name, _stage(channels, width * 2**number, count, stride=1 if number == 0 else 2))
            channels = width * 2**number
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        for name in self.stages:
            x = getattr(self, name)(x)
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits


def _stage(channels_in: int, channels_out: int, blocks: int, stride: int) -> nn.Sequential:
    first = Block(channels_in, channels_out, stride)
    return nn.Sequential(first, *(Block(channels_out, channels_out, 1) for _ in range(blocks - 1)))


@models.register("cifar_resnet_<depth=6n+2>[_<width>]")
def cifar_resnet(shape: ImageShape, depth: int, width: int = 16) -> nn.Module:
    """ResNet with ``depth`` = 6n + 2 layers and ``width`` channels in its first stage, for any image size.

    Where the shape changes, the shortcut is a 1x1 convolution with BatchNorm, as in Frankle et al. 2020
    (arXiv 1912.05671); He et al. pad with zeros. ResNet-20 on CIFAR-10 has 272,474 trainable parameters.
    """
    return ResNet(shape, [(depth - 2) // 6] * 3, width)


BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


@models.register("tiny_resnet_<depth=18|34>[_<width>]")
def tiny_resnet(shape: ImageShape, depth: int, width: int = 64) -> nn.Module:
    """ResNet-18 or ResNet-34 with a 3x3 convolution and no pooling in front; ``width`` channels in the first stage.

    SynFlow's "ResNet-18" and, since its code widens bottleneck blocks alone, also what that code calls
    ``wide_resnet18``: 11,173,962 trainable parameters on CIFAR-10. A width of 128 really is twice as wide.
    """
    return ResNet(shape, BLOCKS[depth], width)


@models.register("imagenet_resnet_<depth=18|34|50|101>")
def imagenet_resnet(shape: ImageShape, depth: int) -> nn.Module:
    """``torchvision.models.resnet<depth>`` without trained weights; basic blocks up to 34 layers, then bottlenecks.

    Like there a bottleneck's stride is in its 3x3 convolution. The first convolution takes the images' channels.
    Input (N, channels, height, width), output (N, classes).
    """
    import_torchvision()
    from torchvision.models import resnet

    model: nn.Module = getattr(resnet, f"resnet{depth}")(weights=None, num_classes=shape.classes)
    if shape.channels != 3:
        model.conv1 = nn.Conv2d(shape.channels, 64, 7, stride=2, padding=3, bias=False)
    return model
