"""The fully connected network of MNIST-1D (Greydanus 2020, arXiv 2011.14439, "Scaling down deep learning")."""

from torch import Tensor, nn

from models.registry import models
from models.shape import ImageShape


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
