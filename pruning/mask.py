"""Which weights a subnetwork has."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from foundations.store import Store
from foundations.tensors import decode_tensors, metadata_of
from pruning.prunable import make_dense, prunable


class Mask(Mapping[str, Tensor]):
    """Bool tensors by parameter name, shaped like the prunable parameters; true where a weight is kept.

    A mask is a value: its tensors are its own copies and are not to be written to.
    """

    def __init__(self, entries: Mapping[str, Tensor]) -> None:
        for name, entry in entries.items():
            if entry.dtype != torch.bool:
                raise UsageError(f"The mask of {name!r} has values of type {entry.dtype}; expected torch.bool")
        self._entries = {
            name: entry.detach().clone(memory_format=torch.contiguous_format) for name, entry in entries.items()
        }

    @staticmethod
    def ones(model: nn.Module) -> "Mask":
        """Return the mask that keeps every prunable weight, on the weights' device."""
        return Mask({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable(model).items()})

    def __getitem__(self, name: str) -> Tensor:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        """Whether both keep the same weights, wherever the tensors are and in whatever order."""
        if not isinstance(other, Mask):
            return NotImplemented
        return self.keys() == other.keys() and all(torch.equal(self[name].cpu(), other[name].cpu()) for name in self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Mask({self.kept} of {self.total} weights in {len(self)} layers)"

    @cached_property
    def total(self) -> int:
        """The number of weights, kept and pruned."""
        return sum(entry.numel() for entry in self.values())

    @cached_property
    def kept(self) -> int:
        """The number of weights kept; one host synchronization for all layers."""
        return int(sum(entry.sum() for entry in self.values()))

    @property
    def density(self) -> float:
        """The share of weights kept; 1 for a mask of nothing."""
        return self.kept / self.total if self.total else 1.0

    def without(self, names: Iterable[str]) -> "Mask":
        """Return the mask of the other layers; its density is the one that leaves ``names`` out of the count."""
        left_out = set(names)
        return Mask({name: entry for name, entry in self.items() if name not in left_out})

    def to(self, device: torch.device | str) -> "Mask":
        return Mask({name: entry.to(device) for name, entry in self.items()})

    def check(self, model: nn.Module) -> None:
        """Raise ``UsageError`` if names or shapes are not those of the model's prunable parameters."""
        weights = prunable(model)
        if missing := [name for name in weights if name not in self]:
            raise UsageError(f"The mask does not fit the model: it has no entry for {', '.join(missing)}")
        if unknown := [name for name in self if name not in weights]:
            raise UsageError(f"The mask does not fit the model, which has no prunable {', '.join(unknown)}")
        for name, weight in weights.items():
            if self[name].shape != weight.shape:
                shapes = f"{tuple(self[name].shape)} in the mask and {tuple(weight.shape)} in the model"
                raise UsageError(f"The mask does not fit the model: {name} has shape {shapes}")

    def applier(self, model: nn.Module) -> "Applier":
        """Return what sets the model's pruned weights to zero after every optimizer step; see :class:`Applier`."""
        return Applier(model, self)

    def apply_(self, model: nn.Module) -> None:
        """Set the model's pruned weights to zero. For use after every optimizer step see :class:`Applier`."""
        with torch.no_grad():
            self.applier(model)()

    def hold(self, network: nn.Module, optimizer: Any) -> "Hold":
        """Mask ``network`` now and at the end of every ``optimizer.step()``, until :meth:`Hold.release`.

        Args:
            network: the module that the mask fits, or the part of a larger one; it may be moved and converted later.
            optimizer: a ``torch.optim.Optimizer`` of its weights, or a wrapper that has one as ``.optimizer``
                (accelerate, Lightning). Hooks are not part of its ``state_dict()``, nor of a copy: a new optimizer has
                to be held again.

        Raises:
            UsageError: the mask does not fit, no masked weight is the optimizer's, or its step runs no hooks.
        """
        return Hold(self, network, optimizer)

    def save(self, path: Path) -> None:
        """Write the mask as safetensors: plain bool tensors under the parameters' names."""
        # A safetensors file sorts its tensors; the model's order is kept beside them.
        Store(path.parent).write_tensors(path.name, self, {"order": list(self)})

    @staticmethod
    def load(path: Path, model: nn.Module | None = None) -> "Mask":
        """Read a mask, of ``model`` if that is given; also one that another program has written as safetensors.

        Raises:
            UsageError: the file is missing or damaged, or its mask does not fit the model.
        """
        store = Store(path.parent)
        if not store.has(path.name):
            raise UsageError(f"{path}: there is no such mask file")
        with store.intact(path.name):
            content = store.read_bytes(path.name)
            if metadata_of(content):
                tensors, about = decode_tensors(path, content)
            else:  # another program's
                tensors = safetensors.torch.load(content)
                about = {"order": list(tensors)}
            if sorted(about["order"]) != sorted(tensors):
                raise ValueError("its order names other tensors than it has")
            mask = Mask({name: tensors[name] for name in about["order"]})
            if model is not None:
                mask.check(model)
            return mask


class Applier:
    """Sets a model's pruned weights to zero when it is called, made for use after every optimizer step.

    It is one fused operation, without checks or host synchronization. It holds the parameters that the model has now,
    and factors of their type, device and memory format: make it after the model has been moved. It makes the model's
    parameters dense in memory (see :func:`pruning.prunable.make_dense`), as fused optimizers need them.

    Raises:
        UsageError: the mask does not fit the model, or a parameter with gaps shares memory with another one.
    """

    def __init__(self, model: nn.Module, mask: Mask) -> None:
        mask.check(model)
        make_dense(model)
        self.model = model
        weights = prunable(model)
        self.parameters = list(weights.values())
        self.weights = [weight.detach() for weight in self.parameters]
        # Like the weights in every respect, or the fused operation falls back to one kernel for each tensor.
        self.factors = [torch.empty_like(weight).copy_(mask[name]) for name, weight in weights.items()]

    def __call__(self) -> None:
        if self.weights:
            torch._foreach_mul_(self.weights, self.factors)

    @property
    def is_current(self) -> bool:
        """Whether the parameters still are where they were: not moved, converted or laid out anew since."""
        pairs = zip(self.parameters, self.weights, strict=True)
        return all(now.data_ptr() == then.data_ptr() and now.dtype == then.dtype for now, then in pairs)

    def mask_gradients(self) -> None:
        there = [
            (parameter.grad, factor)
            for parameter, factor in zip(self.parameters, self.factors, strict=True)
            if parameter.grad is not None
        ]
        if there:
            torch._foreach_mul_([gradient for gradient, _ in there], [factor for _, factor in there])

    def set(self, mask: Mask) -> None:
        """Take another mask from the next call on; ``UsageError`` if it does not fit the model.

        It is copied into the factors' memory, which a captured CUDA graph reads, so that its replays go on with it.
        """
        mask.check(self.model)
        for name, factor in zip(prunable(self.model), self.factors, strict=True):
            factor.copy_(mask[name])


class Hold:
    """Keeps a network masked while somebody else's loop trains it; made by :meth:`Mask.hold`.

    It uses PyTorch's hook at the end of an optimizer's step, so that it does not matter who calls ``step()``. As a
    context manager it releases the network at the end.
    """

    def __init__(self, mask: Mask, network: nn.Module, optimizer: Any) -> None:
        self._mask, self._network = mask, network
        inner = hooked_optimizer(optimizer)
        self._applier = mask.applier(network)
        trained = {id(parameter) for group in inner.param_groups for parameter in group["params"]}
        if not any(id(parameter) in trained for parameter in self._applier.parameters):
            raise UsageError(
                "mask.hold: the optimizer has none of the network's masked weights; make it of network.parameters()"
            )
        self._hook = inner.register_step_post_hook(lambda *_: self.apply())
        self.apply()

    @torch.no_grad()
    def apply(self) -> None:
        """Set the pruned weights to zero, as every step does at its end; for weights that were loaded just now."""
        self._moved()()

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Set the pruned weights' gradients to zero; call it before ``clip_grad_norm_``, whose norm they enter."""
        self._moved().mask_gradients()

    def release(self) -> None:
        """Let pruned weights train again, from zero."""
        self._hook.remove()

    def _moved(self) -> Applier:
        if not self._applier.is_current:
            self._applier = self._mask.applier(self._network)
        return self._applier

    def __enter__(self) -> "Hold":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def hooked_optimizer(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimizer, or the one within, whose ``step()`` runs PyTorch's hooks."""
    inner = optimizer
    while not runs_hooks(inner) and hasattr(inner, "optimizer"):
        inner = inner.optimizer
    if not (isinstance(inner, torch.optim.Optimizer) and runs_hooks(inner)):
        raise UsageError(
            f"mask.hold: {type(optimizer).__name__}.step() runs no hooks of torch.optim.Optimizer; "
            "call mask.apply_(network) after each step instead"
        )
    return inner


def runs_hooks(optimizer: Any) -> bool:
    return bool(getattr(getattr(type(optimizer), "step", None), "hooked", False))  # PyTorch marks the steps it wraps
