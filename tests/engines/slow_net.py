"""A plug-in: a network whose steps take a while however fast the machine is, so that there is time to disturb it."""

import time
from typing import Any

import torch
from torch import nn

from models import models


class Slow(nn.Module):
    """A linear layer that waits in each training step."""

    def __init__(self, inputs: int, classes: int, milliseconds: int) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, classes)
        self.seconds = milliseconds / 1000

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            time.sleep(self.seconds)
        out: torch.Tensor = self.fc(images.flatten(1))
        return out


@models.register("slow_net_<milliseconds>")
def slow_net(shape: Any, milliseconds: int) -> nn.Module:
    """So many milliseconds a step."""
    return Slow(shape.channels * shape.height * shape.width, shape.classes, milliseconds)
