"""Fully connected networks: LeNet-300-100 and its relatives, and the network of MNIST-1D."""

from collections import OrderedDict

from torch import Tensor, nn

from models.registry import ImageShape, models


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


class MLP(nn.Module):
    """Two hidden layers, the second with a shortcut around it: h = relu(fc1(x)), h + relu(fc2(h)), ``fc``.

    Input (N, channels, height, width), flattened; output (N, classes).
    """

    def __init__(self, shape: ImageShape, width: int) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(shape.channels * shape.height * shape.width, width)
        self.relu1 = nn.ReLU()
        self.fc2 = nn.Linear(width, width)
        self.relu2 = nn.ReLU()
        self.fc = nn.Linear(width, shape.classes)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu1(self.fc1(self.flatten(x)))
        logits: Tensor = self.fc(hidden + self.relu2(self.fc2(hidden)))
        return logits


@models.register("mlp1d[_<width>]")
def mlp1d(shape: ImageShape, width: int = 500) -> nn.Module:
    """For arrays of features: two hidden layers of ``width`` units, h = relu(W1 x) and h + relu(W2 h).

    The authors' notebook on lottery tickets has a width of 500.
    """
    return MLP(shape, width)
