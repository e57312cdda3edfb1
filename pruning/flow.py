"""How a network is run so that a positive flow through it is never stopped: for SynFlow and its relatives."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from foundations.errors import UsageError
from pruning.weight_use import Function, WeightUse, functions, sources

IDENTITIES = functions("tanh", "softsign")
CLAMPED = {F.relu6, F.hardtanh, F.hardtanh_, *functions("clamp", "clip")}
LEAST = {F.relu6: 0.0, F.hardtanh: -1.0, F.hardtanh_: -1.0}
GATES = functions("sigmoid", "hardsigmoid")
SOFTMAXES = functions("softmax", "log_softmax", "softmin")
NORMALIZATIONS = functions("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm")


def class_scores(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return what a network makes of a batch; raise ``UsageError`` if that is no tensor."""
    return check_scores(model, model(inputs))


def check_scores(model: nn.Module, outputs: Any) -> Tensor:
    """Return the outputs of a network; raise ``UsageError`` if they are no tensor."""
    if not isinstance(outputs, Tensor):
        mode = "training" if model.training else "evaluation"
        raise UsageError(
            f"{type(model).__name__} returns a {type(outputs).__name__} in {mode} mode; expected a tensor of class "
            "scores (N, classes): prune a module around it that returns only these"
        )
    return outputs


def scores_with(model: nn.Module, tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Return the scores of a network with other parameters or buffers, by name, than its own.

    Raises:
        UsageError: it returns no tensor, or PyTorch cannot call it so, as ``nn.DataParallel``.
    """
    try:
        return check_scores(model, functional_call(model, dict(tensors), (inputs,)))
    except RuntimeError as error:
        if "stateless" not in str(error):
            raise
        raise UsageError(f"{type(model).__name__}: {error}; prune the module in it") from error


def flow_of(model: nn.Module, inputs: Tensor, within: AbstractContextManager[Any] | None = None) -> Tensor:
    """Return what a network makes of ``inputs`` if no activation saturates, before a softmax at its end.

    A bounded activation would stop a flow that has grown beyond its bound: its derivative is zero there, and so are the
    scores of whole layers. In its place stands the unbounded one of the same slope: ReLU for ReLU6, the identity for
    tanh, softsign and above the lower bound of Hardtanh and clamp. Sigmoid and hard sigmoid, which as gates multiply a
    flow, stay bounded: a straight line from 1/2 at 0 to 1 at the largest value. The outputs of a softmax add up to a
    constant and those of a log-softmax depend on each other; what enters it is returned. ``within`` is entered last, so
    that a mode of PyTorch's functions sees them first.

    Raises:
        UsageError: the network does not return a tensor.
    """
    with Unbounded() as unbounded, within or nullcontext():
        outputs = class_scores(model, inputs)
    memory = outputs.untyped_storage()._cdata
    last = [logits for logits, softmax in unbounded.softmaxes if softmax.untyped_storage()._cdata == memory]
    return last[0] if last else outputs


class Unbounded(TorchFunctionMode):
    """Replaces bounded activations, and notes down inputs and outputs of softmaxes."""

    def __init__(self) -> None:
        super().__init__()
        self.softmaxes: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(
        self, func: Function, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        first: Any = args[0] if args else kwargs.get("input")
        in_place = bool(kwargs.get("inplace")) or func.__name__.endswith("_")
        if func in IDENTITIES:
            return first if in_place else first.clone()
        if func in CLAMPED and first.is_floating_point():
            low = LEAST.get(func) if func is F.relu6 else lower_bound(func, *args[1:2], **kwargs)
            if low is None:
                return first if in_place else first.clone()
            return first.clamp_(min=low) if in_place else first.clamp(min=low)
        if func in GATES:
            largest = first.detach().abs().amax().clamp(min=torch.finfo(first.dtype).tiny)
            straight = first if in_place else first.clone()
            return straight.div_(2 * largest).add_(0.5)
        result = func(*args, **kwargs)
        if func in SOFTMAXES:
            self.softmaxes.append((first, result))
        return result


def lower_bound(function: Function, *given: Any, **kwargs: Any) -> Any:
    if given:
        return given[0]
    return kwargs.get("min_val", kwargs.get("min", LEAST.get(function)))


class Negative(WeightUse):
    """Notes down which layers hear values below zero, and whether any normalization comes before.

    Args:
        model: the network that is run.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.heard: list[tuple[str, Tensor, bool]] = []
        self.normalized = False

    def use(self, product: Callable[..., Tensor], inputs: Tensor, weight: Tensor, *more: Any) -> Tensor:
        names = [self.names[id(one)] for one in sources(weight) if id(one) in self.names]
        self.heard += [(name, (inputs < 0).any(), self.normalized) for name in names[:1]]
        return product(inputs, weight, *more)

    def other(self, function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        self.normalized |= function in NORMALIZATIONS
        return super().other(function, args, kwargs)

    def layers(self) -> dict[str, bool]:
        """Return the layers that hear values below zero, in order, and whether a normalization came before them."""
        if not self.heard:
            return {}
        flags = torch.stack([flag for _, flag, _ in self.heard]).tolist()
        return {name: before for (name, _, before), flag in zip(self.heard, flags, strict=True) if flag}
