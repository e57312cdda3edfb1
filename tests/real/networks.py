"""A plug-in: the architectures of three trained networks that packages hold, under the names that their files have."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adsynflow import ImageShape, models


@models.register("digit_recognizer")
class DigitRecognizer(nn.Module):
    """Of the package digit-recognizer-py: three convolutions and two linear layers, for digits of 28 by 28."""

    def __init__(self, shape: ImageShape) -> None:
        super().__init__()
        convolutions: list[nn.Module] = []
        for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
            convolutions += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.conv_layers = nn.Sequential(*convolutions)
        self.fc_layers = nn.Sequential(nn.Linear(128 * 3 * 3, 256), nn.ReLU(), nn.Linear(256, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_layers(x)
        return self.fc_layers(x.view(x.size(0), -1))


@models.register("crepe_tiny")
class CrepeTiny(nn.Module):
    """Of the package torchcrepe (Kim et al. 2018): the pitch of 1,024 samples of sound, as one of 360."""

    def __init__(self, shape: ImageShape) -> None:
        super().__init__()
        channels, kernels = (1, 128, 16, 16, 16, 32, 64), (512, *[64] * 5)
        for number in range(1, 7):
            inputs, outputs, kernel = channels[number - 1], channels[number], kernels[number - 1]
            stride = (4, 1) if number == 1 else (1, 1)
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, (kernel, 1), stride))
            self.add_module(f"conv{number}_BN", nn.BatchNorm2d(outputs, eps=0.0010000000474974513, momentum=0.0))
        self.classifier = nn.Linear(256, 360)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)[:, None, :, None]
        for number in range(1, 7):
            x = F.pad(x, (0, 0, 254, 254) if number == 1 else (0, 0, 31, 32))
            x = getattr(self, f"conv{number}_BN")(F.relu(getattr(self, f"conv{number}")(x)))
            x = F.max_pool2d(x, (2, 1), (2, 1))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).flatten(1)))
