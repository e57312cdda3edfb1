"""Which kept weights lie on a path from input to output, and whether there is any."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from foundations.errors import UsageError
from pruning.computed import computed_weights, make_plain
from pruning.mask import Mask
from pruning.prunable import prunable
from pruning.weight_use import Function, WeightUse, copied, functions

SCALES = (0.5, 4.0)
"""Sizes of the marks, one after the other: what an unknown operation stops at one, it may let through at another."""
EXAMPLES = 3
"""Images of a batch: of two, standardized over the batch, no gradient would come back."""

PASSED_ON = functions(
    "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish",
    "tanh", "hardtanh", "softsign", "tanhshrink", "softshrink", "hardshrink", "threshold", "_threshold",
    "clamp", "clamp_min", "clamp_max", "clip", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
    "feature_alpha_dropout", "feature_dropout",
    "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm",
)  # fmt: skip
"""Activations that are 0 at 0, dropout and normalizations: marks go through them as they are."""
POSITIVE = functions("sigmoid", "hardsigmoid", "logsigmoid", "softplus", "softmax", "log_softmax", "softmin")
"""Activations that are not 0 at 0: a gate lets its other factor through, whatever it hears itself."""
POOLINGS = {
    F.max_pool1d: F.conv1d, F.max_pool2d: F.conv2d, F.max_pool3d: F.conv3d,
    torch.max_pool1d: F.conv1d, torch.max_pool2d: F.conv2d, torch.max_pool3d: F.conv3d,
}  # fmt: skip
AXES = {F.conv1d: 1, F.conv2d: 2, F.conv3d: 3}
ADAPTIVE_POOLINGS = {
    F.adaptive_max_pool1d: F.adaptive_avg_pool1d, F.adaptive_max_pool2d: F.adaptive_avg_pool2d,
    F.adaptive_max_pool3d: F.adaptive_avg_pool3d,
}  # fmt: skip
SIZELESS = functions(
    "add", "__add__", "__iadd__", "__radd__", "cat", "mean", "sum", "flatten", "view", "reshape", "permute",
    "transpose", "squeeze", "unsqueeze", "contiguous", "size", "dim", "is_floating_point", "__getitem__", "chunk",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
) | {Tensor.shape.__get__}  # type: ignore[attr-defined]  # a descriptor, for the stubs a value  # fmt: skip
"""Operations to which marks of any size are the same."""
LEAST = functions("amin", "min", "minimum")
EXTREMES = functions("amax", "max", "maximum") | LEAST


class Reach(NamedTuple):
    """What :func:`reach` finds."""

    effective: Mask
    """The kept weights that lie on a path from the input to an output."""
    output: bool
    """Whether any path leads to an output."""
    sizeless: bool = False
    """Whether marks of another size would find the same."""


def reach(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> Reach | None:
    """Find the paths of kept weights from the input to the output; None where they cannot be found.

    That is so for a network that cannot be copied to the CPU in float64, or if no path is found in the dense network.

    The network gets black images and, once more, generic ones. Before and after every linear map and convolution values
    and, on the way back, gradients are marked: zero where black and generic images do not differ, a random positive
    number elsewhere. So nothing overflows, vanishes or cancels, and no operation meets the one point at which its
    derivative is zero. Known activations and normalizations hand marks on, and a maximum is an average, whose gradient
    goes to all that it is taken over.

    Args:
        model: left as it is; the values of its parameters do not matter.
        mask: the weights kept.
        shape: of an image: channels, height, width.
    """
    try:
        found = reach_of_marks(model, mask, shape)
        if found.output or reach_of_marks(model, Mask.ones(model), shape).output:
            return found
    except Exception:  # whatever a forward method of somebody else's raises
        pass
    return None


def reach_of_marks(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> Reach:
    found = Reach(Mask({name: torch.zeros_like(kept) for name, kept in mask.items()}), output=False)
    for scale in SCALES:
        if found.sizeless or (found.output and found.effective == mask):
            break
        with torch.random.fork_rng([]), torch.enable_grad():
            more = reach_of_size(model, mask, shape, scale)
        joined = Mask({name: kept | more.effective[name] for name, kept in found.effective.items()})
        found = Reach(joined, found.output or more.output, more.sizeless)
    return found


def reach_of_size(model: nn.Module, mask: Mask, shape: tuple[int, ...], scale: float) -> Reach:
    network = copied(model).cpu().double().eval()
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # not in the stubs
    names = computed_weights(network)
    make_plain(network, names.values())
    weights = {own: network.get_parameter(names.get(own, own)) for own in mask}
    marking = Marking(scale)
    fill(network, marking)
    for own, weight in weights.items():
        weight.data.mul_(mask[own].cpu())
        weight.requires_grad_()
    images = marking.generic(torch.empty(EXAMPLES, *shape, dtype=torch.float64))
    outputs = []
    for batch in (torch.zeros_like(images), images):
        torch.default_generator.manual_seed(0)  # a network that draws random numbers draws the same twice
        with marking:
            outputs.append(floats(network(batch)))
        marking.black = iter(marking.seen)
    black, white = outputs
    reached = any(bool(differs(value, dark).any()) for value, dark in zip(white, black, strict=True))
    total = torch.stack([(value * marking.generic(value)).sum() for value in white]).sum()
    if not weights or not total.requires_grad:
        return Reach(Mask({name: torch.zeros_like(kept) for name, kept in mask.items()}), reached)
    gradients = torch.autograd.grad(total, list(weights.values()), materialize_grads=True, allow_unused=True)
    pairs = zip(mask.items(), gradients, strict=True)
    effective = {name: kept & present(gradient).to(kept.device) for (name, kept), gradient in pairs}
    return Reach(Mask(effective), reached, marking.sizeless)


def fill(network: nn.Module, marking: "Marking") -> None:
    """Make all parameters generic and positive, biases zero; those that are not prunable are small, as a mean is."""
    weights = {id(weight) for weight in prunable(network).values()}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not parameter.is_floating_point() or ".parametrizations." in f".{name}":
                continue  # weights that are computed from it might not be finite
            parameter.requires_grad_(False).copy_(marking.generic(parameter))
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.dim() > 1 and id(parameter) not in weights:
                parameter.div_(parameter[0].numel())


def floats(outputs: Any) -> list[Tensor]:
    return [value for value in tree_leaves(outputs) if isinstance(value, Tensor) and value.is_floating_point()]


def differs(values: Tensor, black: Tensor) -> Tensor:
    return (values != black) & ~(values.isnan() & black.isnan())


def present(gradient: Tensor) -> Tensor:
    return gradient.nan_to_num() != 0


class Marking(WeightUse):
    """Marks what enters and leaves linear maps, convolutions and softmaxes; the first pass is that of black images.

    What is the same for black and generic images, and not zero, is a constant: it may be what an image's values are
    multiplied by (a learned query), but a weight that hears only constants lies on no path.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.random = torch.Generator().manual_seed(0)
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.black: Any = None
        self.sizeless = True

    def generic(self, like: Tensor) -> Tensor:
        """Return random numbers from half the scale to one and a half times."""
        return self.scale * (torch.rand(like.shape, generator=self.random, dtype=torch.float64) + 0.5)

    def use(self, product: Callable[..., Tensor], inputs: Tensor, weight: Tensor, *more: Any) -> Tensor:
        weight, marks = weight.double(), self.marked(inputs)
        reached = marks * self.reached
        output = product(marks, weight, *more)
        if not torch.equal(reached, marks):  # constants are multiplied too, but give the weight no gradient
            fixed = weight.detach()
            output = product(marks, fixed, *more) + product(reached, weight, *more) - product(reached, fixed, *more)
        return self.marked(output)

    def other(self, function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        first, *rest = args or (kwargs.get("input"),)
        in_place = kwargs.get("inplace") or function.__name__.endswith("_")
        if function in PASSED_ON and first.is_floating_point():  # an index stays within its bounds
            return first if in_place else first.clone()
        if function in POSITIVE:
            opened = torch.where(first.isneginf(), 0.0, self.scale + self.marked(first))  # masks of attention stay
            return first.copy_(opened) if in_place else opened
        result = super().other(function, args, kwargs)
        self.sizeless &= function in SIZELESS or function in POOLINGS or function in ADAPTIVE_POOLINGS
        if function in POOLINGS and isinstance(result, Tensor):
            return pooled(POOLINGS[function], result, *args, **kwargs)
        if function in ADAPTIVE_POOLINGS and isinstance(result, Tensor):
            return ADAPTIVE_POOLINGS[function](first, rest[0] if rest else kwargs["output_size"])
        if function in EXTREMES and first.is_floating_point():
            values = first / 2 if function in LEAST else first  # generic: the range between both is not zero
            return joined(result, values, *rest, **{name: value for name, value in kwargs.items() if name != "input"})
        return result

    def marked(self, values: Tensor) -> Tensor:
        if self.black is None:
            constants = (values != 0) * self.generic(values)
            self.seen.append((values.detach(), constants))
            self.reached = torch.zeros_like(constants)
            return constants
        black, constants = next(self.black)
        self.reached = differs(values.detach(), black).double()
        marks: Tensor = Marks.apply(values, self.reached, constants, self.generic(values))
        return marks


class Marks(torch.autograd.Function):
    """Random marks where generic images differ from black ones and, on the way back, where a gradient comes from."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, reached: Tensor, constants: Tensor, generic: Tensor) -> Tensor:
        ctx.generic = generic
        return torch.where(reached != 0, generic, constants)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return present(gradients[0]) * ctx.generic, None, None, None


def pooled(
    convolution: Function, maxima: Tensor, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    dilation: Any = 1, *others: Any, **more: Any,
) -> Tensor:  # fmt: skip
    """Return the sums over the windows of a max-pooling in place of its maxima."""
    axes = AXES[convolution]
    kernel = torch.ones(1, 1, *([kernel_size] * axes if isinstance(kernel_size, int) else kernel_size)).to(input)
    images = input.reshape(-1, 1, *input.shape[-axes:])
    images = F.pad(images, [0, max(kernel.shape)] * axes)  # windows may begin in the image and end beyond it
    summed = convolution(images, kernel, None, stride or kernel_size, padding, dilation)
    cut: Tensor = summed[(..., *map(slice, maxima.shape[-axes:]))]
    return cut.reshape(maxima.shape).contiguous()


def joined(extremes: Any, values: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Return the mean in place of a maximum over dimensions, and the sum in place of that of two tensors."""
    other = args[0] if args else kwargs.get("other")
    if isinstance(other, Tensor):
        return values + other
    averaged = values.mean(*args, **kwargs)
    return averaged if isinstance(extremes, Tensor) else type(extremes)((averaged, extremes[1]))


def effective_mask(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> Mask:
    """Return the kept weights that lie on a path of kept weights from the input to an output.

    The others do nothing: their unit hears nothing of the input or is heard by nobody (Vysogorets and Kempe 2021,
    "Connectivity matters: neural network pruning through the lens of effective sparsity", arXiv 2107.02306). Biases
    and normalization carry no path: a unit that hears only its own bias is a constant. (A normalization written by hand
    does: its statistics hear all units.) A weight of a convolution that meets nothing but padding is on no path either.
    Through attention paths lead from the values, and from queries and keys where both are there; its masks are left
    out. A maximum counts as reached by all that it is taken over. See :func:`reach`, also for the arguments.

    Raises:
        UsageError: no path is found in the dense network, either.
    """
    found = reach(model, mask, shape)
    if found is None:
        raise UsageError(f"{type(model).__name__}: no path from input to output is found, not in the dense network")
    return found.effective


def empty_layers(mask: Mask) -> list[str]:
    """Return the layers of which no weight is kept. A network with residual paths may work without them."""
    return [name for name, entry in mask.items() if not entry.any()]


def has_path(model: nn.Module, mask: Mask, shape: tuple[int, ...]) -> bool | None:
    """Return whether any path of kept weights leads from the input to an output; see :func:`reach`.

    None where that cannot be told: no path is found in the dense network, either.
    """
    found = reach(model, mask, shape)
    return None if found is None else found.output
