"""Optimizers by name. A plug-in adds one of its own, of one or several parameter groups:

@optimizers.register("slow_biases")
def slow_biases(hparams: TrainingHparams, model: nn.Module) -> optim.Optimizer:
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    weights = [parameter for name, parameter in named if not name.endswith("bias")]
    biases = [parameter for name, parameter in named if name.endswith("bias")]
    groups = [{"params": weights}, {"params": biases, "lr_factor": 0.1, "weight_decay": 0.0}]
    return optim.SGD(groups, lr=hparams.lr, weight_decay=hparams.weight_decay)
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn, optim

from foundations.errors import UsageError
from foundations.registry import Registry

if TYPE_CHECKING:  # its field `optimizer` takes the names below
    from training.hparams import TrainingHparams

MakeOptimizer = Callable[["TrainingHparams", nn.Module], optim.Optimizer]

LR_FACTOR = "lr_factor"
"""The entry of a parameter group by which its learning rate differs from that of the schedule; 1 if absent."""

DECAYING = ALL, WITHOUT_BATCHNORM, WEIGHTS = ("all", "without_batchnorm", "weights")
"""Values of --weight_decay_of."""

optimizers: Registry[MakeOptimizer] = Registry("optimizer", "optimizer")
"""Functions from training hyperparameters and a model to an optimizer of its trainable parameters."""


@optimizers.register("sgd")
def sgd(hparams: "TrainingHparams", model: nn.Module) -> optim.Optimizer:
    """``w <- w - lr * g``, where the gradient ``g`` includes ``weight_decay * w``."""
    return _sgd(hparams, model, momentum=0.0)


@optimizers.register("momentum")
def momentum(hparams: "TrainingHparams", model: nn.Module) -> optim.Optimizer:
    """``v <- momentum * v + g``, ``w <- w - lr * v``."""
    return _sgd(hparams, model, momentum=hparams.momentum)


@optimizers.register("nesterov")
def nesterov(hparams: "TrainingHparams", model: nn.Module) -> optim.Optimizer:
    """``v <- momentum * v + g``, ``w <- w - lr * (g + momentum * v)``."""
    return _sgd(hparams, model, momentum=hparams.momentum, nesterov=hparams.momentum > 0)


@optimizers.register("adam")
def adam(hparams: "TrainingHparams", model: nn.Module) -> optim.Optimizer:
    """Kingma & Ba 2015, arXiv 1412.6980, with PyTorch's defaults; weight decay is part of the gradient."""
    parameters, fused = decaying(hparams, model), can_be_fused(model)
    return optim.Adam(parameters, lr=hparams.lr, weight_decay=hparams.weight_decay, fused=fused)


@optimizers.register("adamw")
def adamw(hparams: "TrainingHparams", model: nn.Module) -> optim.Optimizer:
    """Adam with decoupled weight decay, Loshchilov & Hutter 2019, arXiv 1711.05101."""
    parameters, fused = decaying(hparams, model), can_be_fused(model)
    return optim.AdamW(parameters, lr=hparams.lr, weight_decay=hparams.weight_decay, fused=fused)


def _sgd(hparams: "TrainingHparams", model: nn.Module, *, momentum: float, nesterov: bool = False) -> optim.Optimizer:
    made = optim.SGD(
        decaying(hparams, model), lr=hparams.lr, momentum=momentum, weight_decay=hparams.weight_decay,
        nesterov=nesterov, fused=can_be_fused(model),
    )  # fmt: skip
    if momentum:
        made.register_step_pre_hook(start_momentum)
    return made


def start_momentum(optimizer: optim.Optimizer, *_: object) -> None:
    """Give zero momentum to parameters whose first gradient comes later than that of others.

    So it is with layers that a network skips at random. PyTorch's fused SGD fails on them.
    """
    every = (parameter for group in optimizer.param_groups for parameter in group["params"])
    moved = [parameter for parameter in every if parameter.grad is not None]
    fresh = [parameter for parameter in moved if "momentum_buffer" not in optimizer.state.get(parameter, {})]
    if len(fresh) < len(moved):
        for parameter in fresh:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are not frozen, in the model's order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def decaying(hparams: "TrainingHparams", model: nn.Module) -> list[nn.Parameter] | list[dict[str, Any]]:
    """Return the trainable parameters, in two groups where ``weight_decay_of`` spares some: the others, and these."""
    if hparams.weight_decay_of == ALL:
        return trainable(model)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    of_batchnorm = {parameter for layer in layers for parameter in layer.parameters(recurse=False)}
    groups: list[dict[str, Any]] = [{"params": []}, {"params": [], "weight_decay": 0.0}]
    for parameter in trainable(model):
        spared = parameter in of_batchnorm or (hparams.weight_decay_of == WEIGHTS and parameter.ndim < 2)
        groups[spared]["params"].append(parameter)
    return groups


def can_be_fused(model: nn.Module) -> bool:
    """Return whether PyTorch has fused optimizers for the parameters; not for complex ones."""
    return all(parameter.is_floating_point() for parameter in trainable(model))


def make_optimizer(hparams: "TrainingHparams", model: nn.Module) -> optim.Optimizer:
    """Return the optimizer that ``hparams`` name, of all parameters that are not frozen; ``UsageError`` if all are."""
    if not trainable(model):
        raise UsageError("Nothing to train: every parameter is frozen; leave out one of the *_frozen flags")
    return optimizers.get(hparams.optimizer)(hparams, model)


def with_hparams(optimizer: optim.Optimizer, hparams: "TrainingHparams", model: nn.Module) -> optim.Optimizer:
    """Return the optimizer that ``hparams`` name, with the state of ``optimizer``, which is one of the same name."""
    other = make_optimizer(hparams, model)
    load_state(other, {**optimizer.state_dict(), "param_groups": other.state_dict()["param_groups"]})
    return other


def load_state(optimizer: optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a state into an optimizer, in the memory format of the parameters.

    Fused optimizers go through weights and state as they lie in memory. With other strides they would pair a weight
    with the state of another one on a CPU, without a word, and fail on CUDA.

    Raises:
        ValueError: the state of one of our optimizers has the shape of another network's.
    """
    optimizer.load_state_dict(dict(state))
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            ours = isinstance(optimizer, optim.SGD | optim.Adam)
            if ours and isinstance(value, Tensor) and value.numel() != 1 and value.shape != parameter.shape:
                raise ValueError(f"{key} of a parameter {tuple(parameter.shape)} is {tuple(value.shape)}")
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                entries[key] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def set_learning_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """Give each parameter group ``rate`` times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(LR_FACTOR, 1)


def forget_gradients(optimizer: optim.Optimizer) -> None:
    """Do as ``optimizer.zero_grad()`` does, without its hooks for profilers: they take longer than a small layer."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = None


def parameter_names(optimizer: optim.Optimizer, model: nn.Module) -> list[str]:
    """Return the model's names of the optimizer's parameters, in the order in which its state numbers them."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
