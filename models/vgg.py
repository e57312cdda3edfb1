"""Convolutional networks without shortcuts: VGG, and Conv-2, -4 and -6 of the lottery-ticket paper."""

from collections import OrderedDict

from torch import nn

from models.registry import ImageShape, models

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


CONV_CHANNELS = (64, 128, 256)
UNITS = 256


def lottery_conv(shape: ImageShape, stages: int) -> nn.Module:
    """Return stages of two 3x3 convolutions with ReLU and a max-pooling, two hidden linear layers, ``fc``.

    VGG in small and without BatchNorm. A pooling is left out where a side is a single pixel. Layers are named conv1,
    relu1, conv2, ..., pool1, ..., fc1, fc2; input (N, channels, height, width), output (N, classes).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    features, height, width = shape.channels, shape.height, shape.width
    for stage, channels in enumerate(CONV_CHANNELS[:stages], start=1):
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
