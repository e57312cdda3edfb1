"""Everything that training changes, in one object that can be saved, restored and branched from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn, optim

from foundations.seeds import Seeds
from pruning import Mask
from training.hparams import TrainingHparams
from training.layout import find_layout
from training.optimizers import make_optimizer


@dataclass(frozen=True)
class Noise:
    """SGD noise: data order and augmentation, by epoch.

    Args:
        seeds: those of the replicate.
        child: () for the trunk and the levels that go on with its noise; (n,) for child n of a stability run.
    """

    seeds: Seeds
    child: tuple[int, ...] = ()

    def epoch(self, epoch: int) -> tuple[torch.Generator, torch.Generator]:
        """The generators of the order and of the augmentation of an epoch."""
        return (
            self.seeds.generator("data order", *self.child, epoch),
            self.seeds.generator("augmentation", *self.child, epoch),
        )

    def step(self, iteration: int) -> int:
        """The seed of PyTorch's global generator at a step, for models that draw from it (dropout)."""
        return self.seeds.number("step", *self.child, iteration)


@dataclass
class TrainState:
    """A network in training.

    ``tally`` holds sum of losses, number of correct predictions and number of examples of the current epoch so
    far, as float64, on the device.
    """

    model: nn.Module
    optimizer: optim.Optimizer
    noise: Noise
    mask: Mask | None = None
    iteration: int = 0
    tally: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    apply_mask: Callable[[], None] = lambda: None
    layout: torch.memory_format = torch.channels_last

    @classmethod
    def fresh(cls, model: nn.Module, hparams: TrainingHparams, noise: Noise, device: torch.device) -> "TrainState":
        """The state before the first step, in the memory layout that suits network and device."""
        layout = find_layout(model, device)
        model = model.to(device=device, memory_format=layout)  # type: ignore[call-overload]  # not in the stubs
        return cls(
            model,
            make_optimizer(hparams, model),
            noise,
            tally=torch.zeros(3, dtype=_tally_dtype(device), device=device),
            layout=layout,
        )

    def prune(self, mask: Mask) -> None:
        """From here on the network is masked."""
        self.mask = mask
        self.apply_mask = mask.applier(self.model)
        self.apply_mask()

    def training_state(self) -> dict[str, Any]:
        """All but the model's tensors: what the next step needs beside them."""
        return {"iteration": self.iteration, "optimizer": self.optimizer.state_dict(), "tally": self.tally}

    def capture(self) -> dict[str, Any]:
        """The whole state, as tensors and numbers."""
        return {**self.training_state(), "model": self.model.state_dict()}

    def restore(self, captured: dict[str, Any]) -> None:
        """The inverse of :meth:`capture`, on this state's device."""
        self.model.load_state_dict(captured["model"])
        self.optimizer.load_state_dict(captured["optimizer"])
        self.tally.copy_(captured["tally"])
        self.iteration = captured["iteration"]


def _tally_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
