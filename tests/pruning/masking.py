"""Masks of networks whose weights are given one by one."""

from dataclasses import dataclass, field

import torch
from torch import nn

from pruning import Batches, Mask, PruningHparams, Strategy, prunable, prune

NO_DATA = Batches([], [], torch.zeros(1, 1, 1))


def vector(*values: float) -> nn.Sequential:
    """A network whose prunable weights are ``values``."""
    model = nn.Sequential(nn.Linear(len(values), 1, bias=False))
    model[0].weight.data = torch.tensor([values], dtype=torch.float32)
    return model


def kept(strategy, model, density, mask=None, seed=0, batches=NO_DATA, **hparams) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    return prune(strategy, model, batches, PruningHparams(**hparams), density, generator, mask)


def bits(mask: Mask, name: str = "0.weight") -> list[int]:
    return mask[name].flatten().int().tolist()


def two_layers() -> nn.Sequential:
    """Weights 1 to 6 in the first layer, 10 to 40 in the second."""
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[0].weight.data = torch.arange(1.0, 7).view(2, 3)
    model[1].weight.data = 10 * torch.arange(1.0, 5).view(2, 2)
    return model


@dataclass(frozen=True, kw_only=True)
class Recorded(Strategy):
    """Scores every weight with itself, and writes down how many weights it found alive."""

    seen: list = field(default_factory=list)

    def score(self, model, batches, generator):
        self.seen.append(sum(int((weight != 0).sum()) for weight in prunable(model).values()))
        return dict(prunable(model))
