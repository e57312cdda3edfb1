"""Everything that training changes, in one object that can be saved, restored and branched from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn, optim

from foundations.contents import is_count
from foundations.seeds import Seeds
from models import refuse_lazy
from pruning import Mask, make_dense, prunable
from pruning.mask import Applier
from training.arithmetic import compiled, find_memory_format, is_kept_contiguous
from training.capture import CapturedStep, cuda_graphs
from training.compacted import Compaction
from training.data import EpochNoise, TrainingData
from training.distributed import processes, synchronized
from training.hparams import TrainingHparams
from training.optimizers import load_state, make_optimizer
from training.trial import try_training

TALLY, EVER_ACTIVE = "tally", "ever_active"
"""The entries of a captured state that hold the running metrics, and the weights of all its masks so far."""


@dataclass(frozen=True)
class Noise:
    """SGD noise: data order and augmentation, by epoch.

    Args:
        seeds: those of the replicate.
        child: () for the trunk and the levels that go on with its noise; (0, n) for a level n that has its own; (n,)
            for child n of a stability run.
    """

    seeds: Seeds
    child: tuple[int, ...] = ()

    def epoch(self, epoch: int) -> EpochNoise:
        """Return the generators of the order and of the augmentation of an epoch."""
        return EpochNoise(
            self.seeds.generator("data order", *self.child, epoch),
            self.seeds.generator("augmentation", *self.child, epoch),
            epoch,
            self.seeds.generator("flips", *self.child),
        )

    def step(self, iteration: int, process: int = 0) -> int:
        """Return the seed of PyTorch's global generator at a step, for models that draw from it (dropout).

        Of several processes that train together each has another one, since each has other images.
        """
        if process:
            return self.seeds.number("step of another process", process, *self.child, iteration)
        return self.seeds.number("step", *self.child, iteration)


@dataclass
class TrainState:
    """A network in training.

    ``running_metrics`` holds sum of losses, number of correct predictions and number of examples of the current epoch
    so far, as float64, on the device. ``forward`` is ``model``, compiled if that was asked for; ``captured_step``
    replays whole steps, where the device has CUDA graphs. ``first_mask`` is that of :meth:`prune`, ``mask`` the one
    that holds now, and ``ever_active`` has the weights of all masks so far. ``tried_out`` says whether the network is
    known to train.
    """

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    optimizer: optim.Optimizer
    noise: Noise
    mask: Mask | None = None
    first_mask: Mask | None = None
    ever_active: Mask | None = None
    iteration: int = 0
    running_metrics: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    applier: Applier | None = None
    memory_format: torch.memory_format = torch.channels_last
    compaction: Compaction | None = None
    captured_step: CapturedStep | None = None
    tried_out: bool = False

    @classmethod
    def fresh(
        cls, model: nn.Module, hparams: TrainingHparams, noise: Noise, device: torch.device, *, capture: bool = True
    ) -> "TrainState":
        """Return the state before the first step, in the memory format that suits network and device.

        On CUDA ``capture`` says whether steps are replayed as CUDA graphs once they have been captured.

        Raises:
            UsageError: the size of a layer is not known yet, nothing is to be trained, or a parameter with gaps in
                memory shares it with another one (see ``pruning.make_dense``).
        """
        refuse_lazy(model, "TrainState")
        make_dense(model)
        model, memory_format = _in_its_format(model.to(device))
        dtype = torch.float32 if device.type == "mps" else torch.float64
        state = cls(
            model, forward_of(model, hparams), make_optimizer(hparams, model), noise, memory_format=memory_format,
            running_metrics=torch.zeros(3, dtype=dtype, device=device),
        )  # fmt: skip
        if device.type == "cuda":
            kind = type(model), type(state.optimizer)
            state.captured_step = CapturedStep(cuda_graphs(device), device, kind, possible=capture)
        return state

    def try_out(self, data: TrainingData) -> None:
        """Take a step with a copy of the network, and find the memory format in which it trains.

        Raises:
            UsageError: it cannot be trained on these data, or cannot be copied.
        """
        try_training(self.model, data)
        if is_kept_contiguous(self.model) and self.memory_format != torch.contiguous_format:
            self.model, self.memory_format = _in_its_format(self.model)
            load_state(self.optimizer, self.optimizer.state_dict())
            if self.mask is not None:
                self.applier = self.mask.applier(self.model)
        self.tried_out = True

    def prune(self, mask: Mask) -> None:
        """Mask the network from here on."""
        self.mask = self.first_mask = self.ever_active = mask
        self.applier = mask.applier(self.model)
        self.apply_mask()
        self._forget_captured_steps()

    def set_mask(self, mask: Mask) -> None:
        """Replace the mask of a network that is masked already, in place: a captured step goes on with it.

        Weights that it takes away are zero at once; those that it gives back start from zero, and so does their
        optimizer's state. A compact network has no weights to give back: its mask stays.
        """
        assert self.mask is not None, "the first mask is that of prune()"
        assert self.ever_active is not None, "it begins with that mask"
        weights = prunable(self.model)
        device = next(iter(weights.values())).device
        mask, before, active = mask.to(device), self.mask.to(device), self.ever_active.to(device)
        for name, weight in weights.items():
            for entry in self.optimizer.state.get(weight, {}).values():
                if isinstance(entry, Tensor) and entry.shape == weight.shape:
                    entry.masked_fill_(mask[name] & ~before[name], 0)
        self.ever_active = Mask({name: mask[name] | entry for name, entry in active.items()})
        self._replace_mask(mask)

    def _replace_mask(self, mask: Mask) -> None:
        assert self.applier is not None, "the first mask is that of prune()"
        assert self.compaction is None, "a compact network's mask stays"
        self.applier.set(mask)
        self.mask = mask
        self.apply_mask()

    def apply_mask(self) -> None:
        """Set pruned weights to zero; there is no host synchronization in it."""
        if self.applier is not None:
            self.applier()

    def compact(self, hparams: TrainingHparams, example: Tensor | None = None) -> None:
        """Make ``model`` the masked network without the channels that cannot matter.

        On ``example``, inputs, the two are compared: ``UsageError`` if they are not the same function. Whatever is
        captured has the shapes of the full network; what becomes of that which was taken out says :class:`Compaction`.
        """
        assert self.mask is not None, "compaction follows a mask"
        self.compaction = made = Compaction(self.model, self.mask, self.optimizer, example)
        self.model, self.memory_format = _in_its_format(made.places.model)
        self.forward = forward_of(self.model, hparams)
        self.optimizer = make_optimizer(hparams, self.model)
        made.join(self.optimizer)
        load_state(self.optimizer, made.shrink_optimizer(made.optimizer_state))
        self.prune(made.places.mask)

    def tensors(self) -> dict[str, Tensor]:
        """Return the parameters and buffers of the full network."""
        tensors = self.model.state_dict()
        return tensors if self.compaction is None else self.compaction.expand(tensors)

    def training_state(self) -> dict[str, Any]:
        """Return what the next step needs beside the model's tensors."""
        made = self.compaction
        optimizer = self.optimizer.state_dict() if made is None else made.expand_optimizer(self.optimizer)
        return {"iteration": self.iteration, "optimizer": optimizer, TALLY: self.running_metrics}

    def capture(self) -> dict[str, Any]:
        """Return the whole state as tensors and numbers, its masks among them if there are any."""
        captured = {**self.training_state(), "model": self.tensors()}
        mask = self.mask if self.compaction is None else self.compaction.mask
        if mask is not None:
            captured["mask"] = dict(mask)
        if self.ever_active is not None and self.ever_active is not self.first_mask:
            captured[EVER_ACTIVE] = dict(self.ever_active)
        return captured

    def checkpoint(self) -> dict[str, Any]:
        """Return what of :meth:`capture` goes to a file: all but a mask that is still that of :meth:`prune`.

        That one lies in the run's mask file, and the run prunes with it before it restores a checkpoint.
        """
        captured = self.capture()
        if self.mask is self.first_mask and EVER_ACTIVE not in captured:
            captured.pop("mask", None)
        return captured

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise ``ValueError`` unless the tensors are like those of :meth:`tensors`."""
        own = self.tensors()
        if unlike := sorted({*own} ^ {*tensors}):
            raise ValueError(f"it or the network has no {', '.join(unlike)}")
        for name, tensor in tensors.items():
            found, expected = (f"{str(t.dtype).removeprefix('torch.')}{tuple(t.shape)}" for t in (tensor, own[name]))
            if found != expected:
                raise ValueError(f"{name} is {found} instead of {expected}")

    def restore(self, captured: dict[str, Any]) -> None:
        """Invert :meth:`capture` and :meth:`checkpoint`, on this state's device.

        Raises:
            UsageError or one of ``foundations.store.UNREADABLE``: it is not what these return for such a network.
        """
        tensors, optimizer = captured["model"], captured["optimizer"]
        self.check(tensors)
        if not is_count(captured["iteration"]) or captured[TALLY].shape != self.running_metrics.shape:
            raise ValueError("the checkpoint lacks its iteration or its running metrics")
        if (made := self.compaction) is not None:
            tensors, optimizer = made.shrink(tensors), made.shrink_optimizer(optimizer)
        self.model.load_state_dict(tensors)
        load_state(self.optimizer, optimizer)
        self.running_metrics.copy_(captured[TALLY])
        self.iteration = captured["iteration"]
        if "mask" in captured:
            mask = Mask(captured["mask"])
            if self.mask is None:
                self.prune(mask)
            elif mask != (self.mask if made is None else made.mask):
                self._replace_mask(mask)
        if EVER_ACTIVE in captured:
            self.ever_active = Mask(captured[EVER_ACTIVE])
        self._forget_captured_steps()

    def _forget_captured_steps(self) -> None:
        if self.captured_step is not None:
            self.captured_step.forget()


def forward_of(model: nn.Module, hparams: TrainingHparams) -> Callable[[Tensor], Tensor]:
    """Return how ``model`` is called in training; parameters and buffers are its own."""
    if hparams.batchnorm_statistics == "synchronized" and processes().share.of > 1:
        model = synchronized(model)
    return compiled(model, hparams)


def _in_its_format(model: nn.Module) -> tuple[nn.Module, torch.memory_format]:
    memory_format = find_memory_format(model, next(model.parameters()).device)
    return model.to(memory_format=memory_format), memory_format  # type: ignore[call-overload]  # not in the stubs
