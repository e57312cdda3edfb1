"""VGG with BatchNorm for small images (Simonyan and Zisserman 2015, arXiv 1409.1556, table 1)."""

from collections import OrderedDict

from torch import nn

from models.registry import models
from models.shape import ImageShape

CHANNELS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Depth -> convolutions in each stage; the depth counts the original's three linear layers, too."""


@models.register("cifar_vgg_<depth=11|13|16|19>")
def cifar_vgg(shape: ImageShape, depth: int) -> nn.Module:
    """Five stages of 3x3 convolutions with BatchNorm and ReLU, average pooling, and one linear layer ``fc``.

    Max-pooling halves the image between the stages, rounding down. Once a side is a single pixel there is
    nothing left to pool, and that pooling is left out: an 8x8 image goes through three of the four. The
    convolutions have no bias, since the BatchNorm that follows would subtract it again.

    Layers are named conv1, bn1, relu1, conv2, ... in order. Input (N, channels, height, width), output (N,
    classes).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels_in, side, index = shape.channels, min(shape.height, shape.width), 0
    for stage, (channels, convolutions) in enumerate(zip(CHANNELS, CONVOLUTIONS[depth], strict=True)):
        if stage > 0 and side > 1:
            layers[f"pool{stage}"] = nn.MaxPool2d(2)
            side //= 2
        for _ in range(convolutions):
            index += 1
            layers[f"conv{index}"] = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
            layers[f"bn{index}"] = nn.BatchNorm2d(channels)
            layers[f"relu{index}"] = nn.ReLU(inplace=True)  # what backward needs of BatchNorm is its input
            channels_in = channels
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(channels_in, shape.classes)
    return nn.Sequential(layers)
