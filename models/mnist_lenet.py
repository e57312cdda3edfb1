"""Fully connected networks (LeCun et al. 1998, "Gradient-based learning applied to document recognition")."""

from collections import OrderedDict

from torch import nn

from models.registry import models
from models.shape import ImageShape


@models.register("mnist_lenet_<width>[_<width>]...")
def mnist_lenet(shape: ImageShape, *widths: int) -> nn.Module:
    """Hidden linear layers of the given widths with ReLU, then ``fc``: LeNet-300-100 has widths 300 and 100.

    Layers are named fc1, relu1, fc2, ...; input (N, channels, height, width), output (N, classes).
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    features = shape.channels * shape.height * shape.width
    for index, width in enumerate(widths, start=1):
        layers[f"fc{index}"] = nn.Linear(features, width)
        layers[f"relu{index}"] = nn.ReLU()
        features = width
    layers["fc"] = nn.Linear(features, shape.classes)
    return nn.Sequential(layers)
