"""Do two networks compute the same function? One forward pass in float64 tells, before anybody trains them."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

Tensors = Mapping[str, Tensor]
TOLERANCES = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Of the largest output: far above rounding, far below what a channel in a wrong place does."""
EXAMPLES = 2


def example_of(channels: int, height: int, width: int) -> Tensor:
    """Return random images, float64 (2, channels, height, width)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(EXAMPLES, channels, height, width, generator=generator, dtype=torch.float64)


def perturbed(tensors: Tensors) -> dict[str, Tensor]:
    """Return tensors without any symmetry, in float64 on the CPU: what begins as zero or one is no longer.

    Positive numbers stay positive, since variances must. Otherwise a BatchNorm that begins with a scale of 0 would
    hide all that comes before it.
    """
    generator, result = torch.Generator().manual_seed(1), {}
    for name, tensor in tensors.items():
        result[name] = tensor.detach().cpu().clone()
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            values = result[name].double()
            result[name] = torch.where(values == 0, 0.1 * noise, values * (0.2 * noise).exp())
    return result


def same_function(
    first: nn.Module, first_tensors: Tensors, second: nn.Module, second_tensors: Tensors, example: Tensor,
    *, training: bool = False,
) -> bool:  # fmt: skip
    """Return whether two networks give the same outputs for ``example``, in evaluation and perhaps in training mode.

    Neither network is changed, and both draw the same random numbers. A network that cannot be computed in float64,
    since its forward pass makes tensors of another type, is computed in float32.

    Args:
        first: a network.
        first_tensors: the parameters and buffers that it is to have.
        second: another network.
        second_tensors: likewise.
        example: inputs, (N, ...).
        training: whether training mode counts, too.
    """
    for dtype, tolerance in TOLERANCES.items():
        networks = [_network(*one, dtype) for one in ((first, first_tensors), (second, second_tensors))]
        try:
            for mode in {False, training}:
                one, other = (_answers(network, example.to(dtype), mode) for network in networks)
                if not _agree(one, other, tolerance):
                    return False
            return True
        except RuntimeError:
            if dtype == torch.float32:
                raise
    return False


def _network(network: nn.Module, tensors: Tensors, dtype: torch.dtype) -> nn.Module:
    network = copy.deepcopy(network).cpu().to(dtype)
    network.load_state_dict(dict(tensors))
    return network


@torch.no_grad()
def _answers(network: nn.Module, example: Tensor, training: bool) -> list[Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(2)  # that of the CPU alone
        answers = network.train(training)(example)
    return [answer.double() for answer in tree_leaves(answers) if isinstance(answer, Tensor)]


def _agree(first: list[Tensor], second: list[Tensor], tolerance: float) -> bool:
    """Compare outputs; what is not finite says nothing."""
    return len(first) == len(second) and all(
        one.shape == other.shape
        and bool((one - other).abs().nan_to_num(0, posinf=0).le(tolerance * one.nan_to_num(0, 0, 0).abs().max()).all())
        for one, other in zip(first, second, strict=True)
    )
