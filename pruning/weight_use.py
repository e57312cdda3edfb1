"""Where the weights of a network are used, and the multiply-adds that this costs."""

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

TRANSPOSED = {F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}
PRODUCTS = {F.linear, F.conv1d, F.conv2d, F.conv3d, *TRANSPOSED}
OUT_PROJECTION = 5
"""Where out_proj_weight stands among the arguments of F.multi_head_attention_forward after in_proj_weight."""


class WeightUse(TorchFunctionMode, ABC):
    """Within it every linear map and convolution with one of some weights is made by :meth:`use`.

    A forward hook would miss what does not go through a module's own forward: PyTorch's attention hands the weights of
    its projections, some of them packed into one, to a function, and so does torchvision's Swin transformer. Attention
    is taken apart into its linear maps, the product of queries and keys, a softmax, and the product with the values,
    without masks, dropout and biases.

    Args:
        weights: by name, which need not be unique.
    """

    def __init__(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        super().__init__()
        self.names = {memory_of(weight): name for name, weight in weights}

    @abstractmethod
    def use(self, name: str, product: Callable[..., Tensor], inputs: Tensor, weight: Tensor, *more: Any) -> Tensor:
        """The result of ``product(inputs, weight, *more)``.

        Args:
            name: of the weight.
            product: one of ``PRODUCTS``.
            inputs: (N, ..., features) for ``F.linear``, else (N, channels, ...).
            weight: all of it, or the part of a packed one.
            more: bias, stride and so on, as they were given.
        """

    def other(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The result of any other function."""
        return function(*args, **kwargs)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in PRODUCTS and len(args) > 1 and (name := self.names.get(memory_of(args[1]))) is not None:
            return self.use(name, functools.partial(func, **kwargs), *args)
        with self:  # what attention is made of is looked at, too
            if func is F.multi_head_attention_forward:
                return attention(*args, **kwargs)
            if func is F.scaled_dot_product_attention:
                return attend(*args[:3])[0]
        return self.other(func, args, kwargs)


def memory_of(tensor: Tensor) -> int:
    """What a tensor and its parts have in common, on the device "meta" as well, where no memory has an address."""
    return int(tensor.untyped_storage()._cdata)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Attention of (..., L, D) to (..., S, D), with values (..., S, E): (..., L, E) and the weights (..., L, S)."""
    weights = torch.softmax(queries @ keys.transpose(-2, -1), -1)
    return weights @ values, weights


def attention(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int, in_proj_weight: Tensor | None,
    *others: Any, use_separate_proj_weight: bool = False, average_attn_weights: bool = True, **separate: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """``F.multi_head_attention_forward`` in parts; arguments and shapes are its own, (L, N, E) or (L, E)."""
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


def output_positions(model: nn.Module, shape: Images) -> dict[str, int]:
    """How often each weight of a convolution or linear map is used for one image, by parameter name.

    It is the number of output positions (padding counted as if it were image): 1024 for a 3x3 convolution
    that keeps the size of a 32x32 image, 1 for a linear layer on a vector, the number of tokens for attention's
    projections. So a layer costs ``weight.numel() * positions`` multiply-adds, and under a mask ``mask.sum() *
    positions``. A layer that is used twice counts twice, an unused one has 0. Of a packed weight whose parts are used
    differently often (attention to another sequence) it is the mean, rounded. Parameters of two or more dimensions that
    are no such weights have 0.

    The model is any module that takes (N, channels, height, width). It is left untouched and nothing is
    computed: a copy without memory (device "meta") is asked for its shapes.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    traced = copy.deepcopy(model).to("meta").eval()
    # Names are looked up in the original: moving to "meta" unties weights that two layers share.
    weights = [
        (names[id(parameter)], traced.get_parameter(path))
        for path, parameter in model.named_parameters(remove_duplicate=False) if parameter.dim() > 1
    ]  # fmt: skip
    counting = Counting(weights)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.get_default_dtype())
    with torch.no_grad(), torch.device("meta"):
        images = torch.zeros(1, shape.channels, shape.height, shape.width, dtype=dtype)
        with counting:
            traced(images)
    return {name: round(counting.multiply_adds[name] / weight.numel()) for name, weight in weights}


class Counting(WeightUse):
    """Adds up multiply-adds by weight."""

    def __init__(self, weights: Sequence[tuple[str, Tensor]]) -> None:
        super().__init__(weights)
        self.multiply_adds = {name: 0 for name, _ in weights}

    def use(self, name: str, product: Callable[..., Tensor], inputs: Tensor, weight: Tensor, *more: Any) -> Tensor:
        output = product(inputs, weight, *more)
        function = product.func  # type: ignore[attr-defined]  # it is a partial
        if function is F.linear:
            positions = prod(output.shape[:-1])
        else:  # a transposed convolution uses each weight once for every position of its input
            positions = prod((inputs if function in TRANSPOSED else output).shape[2:])
        self.multiply_adds[name] += weight.numel() * positions
        return output
