"""The convolutional networks of the lottery-ticket paper (Frankle & Carbin 2019, arXiv 1803.03635, figure 2)."""

from collections import OrderedDict

from torch import nn

from models.registry import models
from models.shape import ImageShape

CHANNELS = (64, 128, 256)
UNITS = 256


def lottery_conv(shape: ImageShape, stages: int) -> nn.Module:
    """Stages of two 3x3 convolutions with ReLU and a max-pooling, two hidden linear layers, ``fc``.

    VGG in small and without BatchNorm. A pooling is left out where a side is a single pixel. Layers are named conv1,
    relu1, conv2, ..., pool1, ..., fc1, fc2; input (N, channels, height, width), output (N, classes).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    features, height, width = shape.channels, shape.height, shape.width
    for stage, channels in enumerate(CHANNELS[:stages], start=1):
        for index in (2 * stage - 1, 2 * stage):
            layers[f"conv{index}"] = nn.Conv2d(features, channels, 3, padding=1)
            layers[f"relu{index}"] = nn.ReLU()
            features = channels
        if min(height, width) > 1:
            layers[f"pool{stage}"] = nn.MaxPool2d(2)
            height, width = height // 2, width // 2
    layers["flatten"] = nn.Flatten()
    features *= height * width
    for index in (1, 2):
        layers[f"fc{index}"] = nn.Linear(features, UNITS)
        layers[f"fc_relu{index}"] = nn.ReLU()
        features = UNITS
    layers["fc"] = nn.Linear(features, shape.classes)
    return nn.Sequential(layers)


@models.register("conv2")
def conv2(shape: ImageShape) -> nn.Module:
    """64 and 64 channels, pooling, linear layers of 256 and 256 units: 4.3 million weights on CIFAR-10."""
    return lottery_conv(shape, 1)


@models.register("conv4")
def conv4(shape: ImageShape) -> nn.Module:
    """``conv2`` with a second stage of 128 channels before the linear layers: 2.4 million weights on CIFAR-10."""
    return lottery_conv(shape, 2)


@models.register("conv6")
def conv6(shape: ImageShape) -> nn.Module:
    """``conv4`` with a third stage of 256 channels: 2.3 million weights on CIFAR-10; the paper says 1.7 million."""
    return lottery_conv(shape, 3)
