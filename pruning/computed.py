"""Weights that are computed from parameters: weight and spectral normalization, weight standardization, ...

What is masked has to be what is multiplied. A mask of the parameter is one of what is computed if that is zero wherever
the parameter is (spectral normalization); otherwise the layer stays dense (weight standardization, and weight
normalization, which divides by the norm of an empty row).
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize, remove_spectral_norm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm

from foundations.errors import UsageError
from pruning.weight_use import WeightUse, copied, sources

WEIGHT = "weight"


def parameter_of(module: nn.Module) -> nn.Parameter | None:
    """Return the parameter whose mask is the mask of a convolution's or linear layer's weight; None if there is none.

    Raises:
        UsageError: the layer has no weights yet, or ``torch.nn.utils.prune`` masks them already.
    """
    check_layer(module)
    parameter = module._parameters.get(WEIGHT)  # by itself ``module.weight`` might compute it, with side effects
    return parameter if parameter is not None and has_plain_forward(module) else parameter_of_product(module)


def check_layer(module: nn.Module) -> None:
    if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
        raise UsageError(f"{module}: a lazy layer has no weights yet; pass a batch through the network first")
    if any(isinstance(hook, BasePruningMethod) for hook in module._forward_pre_hooks.values()):
        raise UsageError(
            f"{module}: it is under torch.nn.utils.prune already, which would undo another mask; call "
            f"torch.nn.utils.prune.remove(layer, {WEIGHT!r}) first"
        )


def has_plain_forward(module: nn.Module) -> bool:
    """Return whether a layer is called as PyTorch has written it, so that it multiplies ``weight`` itself."""
    own = [vars(part).get(name) for part in type(module).__mro__ for name in ("forward", "_conv_forward")]
    written = [function for function in own if function is not None and function.__module__.startswith("torch.nn.")]
    return "forward" not in vars(module) and len(written) == sum(function is not None for function in own)


class Products(WeightUse):
    """Notes down what weights are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def use(self, product: Callable[..., Tensor], inputs: Tensor, weight: Tensor, *more: Any) -> Tensor:
        self.weights.append(weight)
        return product(inputs, weight, *more)


def parameter_of_product(module: nn.Module) -> nn.Parameter | None:
    """Find the parameter by calling a copy of the layer whose parameters are zero in places.

    A layer that cannot be called alone, or multiplies in another way, is taken to multiply its weight.
    """
    layer, found = copied(module).requires_grad_().eval(), False
    for name in [name for name, parameter in layer.named_parameters() if parameter.dim() > 1]:
        for other, parameter in layer.named_parameters():
            fill(parameter, zeros=other == name)
        try:
            with torch.enable_grad(), Products() as products:
                layer(inputs_of(layer))
        except Exception:  # whatever a forward method of somebody else's raises
            return module._parameters.get(WEIGHT)
        parameter = layer.get_parameter(name)
        made = [w for w in products.weights if w.shape == parameter.shape and any(s is parameter for s in sources(w))]
        if made and all(torch.equal(weight != 0, parameter != 0) for weight in made):
            return module.get_parameter(name)
        found |= bool(made)
    return None if found else module._parameters.get(WEIGHT)


def fill(parameter: Tensor, *, zeros: bool, seed: int = 0) -> None:
    """Make all values generic or, with ``zeros``, all but some and the first row, which a norm divides by."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(parameter.shape, generator=generator) + 0.5
    if zeros:
        values[torch.rand(parameter.shape, generator=generator) < 0.4] = 0
        values[: int(len(values) > 1)] = 0
    with torch.no_grad():
        parameter.copy_(values)


def inputs_of(layer: nn.Module) -> Tensor:
    """Return inputs on which a convolution or linear layer can be called."""
    parameter = next(layer.parameters())
    if isinstance(layer, _ConvNd):
        kernels = zip(layer.kernel_size, layer.dilation, strict=True)
        sizes = [(kernel - 1) * dilation + 1 for kernel, dilation in kernels]
        return torch.ones(2, layer.in_channels, *sizes, dtype=parameter.dtype, device=parameter.device)
    assert isinstance(layer, nn.Linear)
    return torch.ones(2, layer.in_features, dtype=parameter.dtype, device=parameter.device)


def computed_weights(model: nn.Module) -> dict[str, str]:
    """Return the parameters that masks fit although others are multiplied, with what these would be called.

    It is the weights computed by a parametrization or by PyTorch's older spectral normalization, which
    :func:`make_plain` makes parameters: ``{"fc.parametrizations.weight.original": "fc.weight"}``.
    """
    paths, found = {id(parameter): name for name, parameter in model.named_parameters()}, {}
    for path, module in model.named_modules():
        computed = isinstance(module, _ConvNd | nn.Linear) and WEIGHT not in module._parameters
        if computed and (parameter := parameter_of(module)) is not None:
            found[paths[id(parameter)]] = f"{path}.{WEIGHT}".lstrip(".")
    return found


def make_plain(model: nn.Module, weights: Iterable[str]) -> None:
    """Make computed weights parameters, in place: so they are scored by what they do."""
    for name in weights:
        layer = model.get_submodule(name.rpartition(".")[0])
        training = layer.training
        layer.eval()  # spectral normalization would go on with its power iteration
        if any(isinstance(hook, SpectralNorm) for hook in layer._forward_pre_hooks.values()):
            remove_spectral_norm(layer, WEIGHT)
        if parametrize.is_parametrized(layer):
            names = dict(layer.parametrizations.named_children())  # type: ignore[union-attr]  # it is a ModuleDict
            values = {tensor: getattr(layer, tensor).detach() for tensor in names}
            # PyTorch's own function would change the class, which copies share.
            layer.__class__ = type(layer).__bases__[0]
            del layer.parametrizations
            for tensor, value in values.items():
                layer.register_parameter(tensor, nn.Parameter(value))
        layer.train(training).requires_grad_()


def check_products(model: nn.Module, names: Collection[str], inputs: Tensor) -> None:
    """Raise ``UsageError`` if a parameter is not zero where it is multiplied although a mask has made it zero.

    ``model`` is a copy that may be spoiled, ``names`` are the parameters to be masked.
    """
    parameters = {id(parameter): name for name, parameter in model.named_parameters() if name in names}
    for seed, parameter in enumerate(model.parameters()):
        if id(parameter) in parameters:
            fill(parameter.requires_grad_(), zeros=True, seed=seed)
    try:
        with torch.enable_grad(), Products() as products:
            model.eval()(inputs)
    except Exception:  # it is left to those who need the outputs
        return
    for weight in products.weights:
        for source in sources(weight):
            name = parameters.get(id(source))
            itself = weight.untyped_storage()._cdata == source.untyped_storage()._cdata
            if name is None or itself or source.shape != weight.shape:
                continue
            if bool(((weight != 0) & (source == 0)).any()):
                layer = name.removesuffix(f".{WEIGHT}")
                raise UsageError(
                    f"The weights of layer {layer!r} are not multiplied as they are: what is computed from them does "
                    f"not stay zero where a mask is. Leave the layer dense: --layers_to_ignore={layer}"
                )
