"""Everything that training changes, in one object that can be saved, restored and branched from."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn, optim

from foundations.errors import UsageError
from foundations.seeds import Seeds
from pruning import Mask
from pruning.compaction import Compacted, compact
from training.hparams import TrainingHparams
from training.layout import find_layout
from training.optimizers import make_optimizer
from training.recording import CudaRecorder, Recording


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
    far, as float64, on the device. ``forward`` is ``model``, compiled if that was asked for; ``recording``, where the
    device has such a thing, replays whole steps.
    """

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    optimizer: optim.Optimizer
    noise: Noise
    mask: Mask | None = None
    iteration: int = 0
    tally: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    apply_mask: Callable[[], None] = lambda: None
    layout: torch.memory_format = torch.channels_last
    compaction: "Compaction | None" = None
    recording: Recording | None = None

    @classmethod
    def fresh(cls, model: nn.Module, hparams: TrainingHparams, noise: Noise, device: torch.device) -> "TrainState":
        """The state before the first step, in the memory layout that suits network and device."""
        tally = torch.zeros(3, dtype=_tally_dtype(device), device=device)
        model, layout = _laid_out(model.to(device))
        return cls(
            model, compiled(model, hparams), make_optimizer(hparams, model), noise, tally=tally, layout=layout,
            recording=Recording(CudaRecorder(device), device) if device.type == "cuda" else None,
        )  # fmt: skip

    def prune(self, mask: Mask) -> None:
        """From here on the network is masked."""
        self.mask = mask
        self.apply_mask = mask.applier(self.model)
        self.apply_mask()
        self._changed()

    def compact(self, hparams: TrainingHparams) -> None:
        """From here on ``model`` is the masked network without the channels that cannot matter.

        Whatever is captured has the shapes of the full network; what was taken out keeps its values of now.
        """
        assert self.mask is not None, "compaction follows a mask"
        compacted, moment = compact(self.model, self.mask), self.optimizer.state_dict()
        self.compaction = Compaction(compacted, moment)
        self.model, self.layout = _laid_out(compacted.model)
        self.forward = compiled(self.model, hparams)
        self.optimizer = make_optimizer(hparams, self.model)
        self.optimizer.load_state_dict(compacted.shrink_optimizer(moment))
        self.prune(compacted.mask)

    def tensors(self) -> dict[str, Tensor]:
        """The parameters and buffers of the full network."""
        tensors = self.model.state_dict()
        return tensors if self.compaction is None else self.compaction.places.expand(tensors)

    def training_state(self) -> dict[str, Any]:
        """All but the model's tensors: what the next step needs beside them."""
        optimizer = self.optimizer.state_dict()
        if self.compaction is not None:
            optimizer = self.compaction.places.expand_optimizer(optimizer, self.compaction.optimizer)
        return {"iteration": self.iteration, "optimizer": optimizer, "tally": self.tally}

    def capture(self) -> dict[str, Any]:
        """The whole state, as tensors and numbers."""
        return {**self.training_state(), "model": self.tensors()}

    def restore(self, captured: dict[str, Any]) -> None:
        """The inverse of :meth:`capture`, on this state's device."""
        tensors, optimizer = captured["model"], captured["optimizer"]
        if self.compaction is not None:
            tensors = self.compaction.places.shrink(tensors)
            optimizer = self.compaction.places.shrink_optimizer(optimizer)
        self.model.load_state_dict(tensors)
        self.optimizer.load_state_dict(optimizer)
        self.tally.copy_(captured["tally"])
        self.iteration = captured["iteration"]
        self._changed()

    def _changed(self) -> None:
        """Tensors that a step uses have been replaced."""
        if self.recording is not None:
            self.recording.forget()


@dataclass(frozen=True, eq=False)
class Compaction:
    """The way back to the full network.

    Args:
        places: where the small network's tensors lie in the full one's.
        optimizer: the state of the full network's optimizer at the moment of compaction.
    """

    places: Compacted
    optimizer: dict[str, Any]


def _laid_out(model: nn.Module) -> tuple[nn.Module, torch.memory_format]:
    """The network in the memory layout that suits it and its device."""
    layout = find_layout(model, next(model.parameters()).device)
    return model.to(memory_format=layout), layout  # type: ignore[call-overload]  # not in the stubs


def check_compiler(hparams: TrainingHparams) -> None:
    """Raises ``UsageError`` if the network is to be compiled on a machine without a compiler."""
    names = (os.environ.get("CXX", "g++"), "g++", "clang++", "cl")
    if hparams.compile and not any(map(shutil.which, names)):
        raise UsageError(f"--compile: needs a C++ compiler (one of {', '.join(dict.fromkeys(names))}); none was found")


def compiled(model: nn.Module, hparams: TrainingHparams) -> Callable[[Tensor], Tensor]:
    """The network's forward pass, compiled at its first call if ``hparams`` say so; parameters stay shared."""
    # One program for the one size of whole batches: with sizes left open it would be slower.
    return torch.compile(model, dynamic=False) if hparams.compile else model


def _tally_dtype(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
