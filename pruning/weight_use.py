"""Where the weights of a network are used, and the multiply-adds that this costs."""

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from foundations.errors import UsageError, summary_of

TRANSPOSED = {F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}
PRODUCTS = {F.linear, F.conv1d, F.conv2d, F.conv3d, *TRANSPOSED}
Function = Callable[..., Any]
OUT_PROJECTION = 5
"""Where out_proj_weight stands among the arguments of F.multi_head_attention_forward after in_proj_weight."""


def functions(*names: str) -> set[Function]:
    """Return all functions of PyTorch with these names: of tensors, ``torch`` and ``torch.nn.functional``."""
    spellings = [spelling for name in names for spelling in (name, f"{name}_")]
    places = (torch, F, Tensor, torch._C._nn)
    return {getattr(place, spelling) for place in places for spelling in spellings if hasattr(place, spelling)}


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy, also of a model that holds computed tensors, which PyTorch refuses to copy."""
    held = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    return copy.deepcopy(model, {id(value): value.detach().clone() for value in held if not value.is_leaf})


class WeightUse(TorchFunctionMode, ABC):
    """Within it every linear map and convolution is made by :meth:`use`.

    A forward hook would miss what does not go through a module's own forward: PyTorch's attention hands the weights of
    its projections, some of them packed into one, to a function, and so does torchvision's Swin transformer. Attention
    is taken apart into its linear maps, the product of queries and keys, a softmax, and the product with the values,
    without masks, dropout and biases.
    """

    @abstractmethod
    def use(self, product: Callable[..., Tensor], inputs: Tensor, weight: Tensor, *more: Any) -> Tensor:
        """Return the result of ``product(inputs, weight, *more)``.

        Args:
            product: one of ``PRODUCTS``, with the arguments that were given by name.
            inputs: (N, ..., features) for ``F.linear``, else (N, channels, ...).
            weight: a parameter, the part of a packed one, or what was computed from parameters; see :func:`sources`.
            more: bias, stride and so on, as they were given.
        """

    def other(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return the result of any other function."""
        return function(*args, **kwargs)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in PRODUCTS:
            args += tuple(kwargs.pop(name) for name in ("input", "weight")[len(args) :])
            return self.use(functools.partial(func, **kwargs), *args)
        with self:  # what attention is made of is looked at, too
            if func is F.multi_head_attention_forward:
                return attention(*args, **kwargs)
            if func is F.scaled_dot_product_attention:
                return attend(*args[:3])[0]
        return self.other(func, args, kwargs)


def sources(tensor: Tensor) -> list[Tensor]:
    """Return the tensors that ask for gradients and of which this one is made; itself, if it is one of them."""
    if tensor.grad_fn is None:
        return [tensor]
    found: list[Tensor] = []
    waiting: list[Any] = [tensor.grad_fn]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # where a gradient is accumulated
            found.append(node.variable)
        waiting += [following for following, _ in node.next_functions]
    return found


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Attend from (..., L, D) to (..., S, D), values (..., S, E): return (..., L, E) and the weights (..., L, S)."""
    weights = torch.softmax(queries @ keys.transpose(-2, -1), -1)
    return weights @ values, weights


def attention(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int, in_proj_weight: Tensor | None,
    *others: Any, use_separate_proj_weight: bool = False, average_attn_weights: bool = True, **separate: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Do ``F.multi_head_attention_forward`` in parts; arguments and shapes are its own, (L, N, E) or (L, E)."""
    if use_separate_proj_weight or in_proj_weight is None:
        projections = [separate[f"{letter}_proj_weight"] for letter in "qkv"]
    else:
        projections = list(in_proj_weight.chunk(3))
    parts = []
    for given, projection in zip((query, key, value), projections, strict=True):
        part = F.linear(given, projection).unflatten(-1, (num_heads, -1))  # (L, N, heads, E / heads)
        parts.append(part.movedim(0, -2))
    attended, weights = attend(*parts)
    out_proj_weight = others[OUT_PROJECTION] if len(others) > OUT_PROJECTION else separate["out_proj_weight"]
    output = F.linear(attended.movedim(-2, 0).flatten(-2), out_proj_weight)
    return output, weights.mean(-3) if average_attn_weights else weights


class Images(Protocol):
    """The size of one image, such as ``models.ImageShape``."""

    @property
    def channels(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


MATRIX_PRODUCTS = functions("matmul", "mm", "bmm", "__matmul__")
RECURRENT = functions("lstm", "gru", "rnn_tanh", "rnn_relu")
CELLS = functions("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")


def output_positions(model: nn.Module, shape: Images) -> dict[str, int]:
    """Return how often each weight is used for one image, by parameter name.

    It is the number of output positions (padding counted as if it were image): 1024 for a 3x3 convolution
    that keeps the size of a 32x32 image, 1 for a linear layer on a vector, the number of tokens for attention's
    projections. So a layer costs ``weight.numel() * positions`` multiply-adds, and under a mask ``mask.sum() *
    positions``. A layer that is used twice counts twice, an unused one has 0. Of a packed weight whose parts are used
    differently often (attention to another sequence) it is the mean, rounded. Where the weight of a product is computed
    from parameters (weight normalization, weight standardization, ...) the product counts for the one of its shape.
    Recurrent layers count their steps. Parameters of two or more dimensions that are in no product have 0.

    The model is any module that takes (N, channels, height, width). It is left untouched, and nothing is computed: a
    copy without memory (device "meta") is asked for its shapes. Only where that fails, since the forward pass reads
    values, one image without any light is computed on the CPU.

    Raises:
        UsageError: it fails on an image of this shape.
    """
    try:
        return counted(model, shape, "meta")
    except Exception:  # whatever a forward method of somebody else's raises
        try:
            return counted(model, shape, "cpu")
        except Exception as error:
            raise UsageError(f"{type(model).__name__}: it fails on images of {shape}: {summary_of(error)}") from error


def counted(model: nn.Module, shape: Images, device: str) -> dict[str, int]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    traced = copied(model).to(device).eval()
    # Names are looked up in the original: moving to "meta" unties weights that two layers share.
    weights = [
        (names[id(parameter)], traced.get_parameter(path))
        for path, parameter in model.named_parameters(remove_duplicate=False) if parameter.dim() > 1
    ]  # fmt: skip
    for _, weight in weights:
        weight.requires_grad_(weight.is_floating_point())
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    with torch.enable_grad(), torch.device(device), torch.random.fork_rng([]):
        images = torch.zeros(1, shape.channels, shape.height, shape.width, dtype=dtype, requires_grad=True)
        with Counting(weights, images) as counting:
            traced(images * 1)  # which may be changed in place
    return {name: round(counting.multiply_adds[name] / weight.numel()) for name, weight in weights}


class Counting(WeightUse):
    """Adds up multiply-adds by weight."""

    def __init__(self, weights: Sequence[tuple[str, Tensor]], images: Tensor) -> None:
        super().__init__()
        self.names = {id(weight): name for name, weight in weights}
        self.images = images
        self.multiply_adds = {name: 0 for name, _ in weights}

    def use(self, product: Callable[..., Tensor], inputs: Tensor, weight: Tensor, *more: Any) -> Tensor:
        output = product(inputs, weight, *more)
        function = product.func  # type: ignore[attr-defined]  # it is a partial
        if function is F.linear:
            positions = prod(output.shape[:-1])
        else:  # a transposed convolution uses each weight once for every position of its input
            positions = prod((inputs if function in TRANSPOSED else output).shape[2:])
        if found := [one for one in sources(weight) if id(one) in self.names]:
            parameter = min(found, key=lambda one: (one.shape != weight.shape, -one.numel()))
            self.multiply_adds[self.names[id(parameter)]] += weight.numel() * positions
        return output

    def other(self, function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        output = super().other(function, args, kwargs)
        if function in MATRIX_PRODUCTS and self.of_images(output):
            for weight in args[:2]:
                self.count_alone(weight, output.numel() * args[0].shape[-1])
        elif function is F.bilinear:
            self.count_alone(args[2], args[2].numel() * prod(output.shape[:-1]))
        elif function in RECURRENT:
            packed = isinstance(args[2], Tensor)  # as the second argument gives the sizes of its steps
            steps = len(args[0]) if packed else args[0].shape[int(args[-1])]
            for weight in args[3 if packed else 2]:
                self.count_alone(weight, weight.numel() * steps)
        elif function in CELLS:
            for weight in args[2:4]:
                self.count_alone(weight, weight.numel())
        return output

    def count_alone(self, factor: Tensor, multiply_adds: int) -> None:
        """Count a product for a parameter, if one factor is that or was computed from that alone."""
        parameters = [one for one in sources(factor) if id(one) in self.names]
        if len(parameters) == 1 and not self.of_images(factor):
            self.multiply_adds[self.names[id(parameters[0])]] += multiply_adds

    def of_images(self, tensor: Tensor) -> bool:
        return any(one is self.images for one in sources(tensor))
