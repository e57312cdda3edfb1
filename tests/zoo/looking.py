"""How the zoo's networks are made and looked at, in plain PyTorch."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from adsynflow import UsageError
from tests.zoo.networks import ZOO
from tests.zoo.refusals import REFUSALS

aten = torch.ops.aten
OPERANDS = {aten.mm: (0, 1), aten.addmm: (1, 2), aten.bmm: (0, 1), aten.baddbmm: (1, 2), aten.mv: (0, 1),
            aten.addmv: (1, 2), aten.convolution: (0, 1), aten._trilinear: (0, 1, 2)}  # fmt: skip
"""Where the factors stand among the arguments of PyTorch's products."""


def made(name: str, seed: int = 0) -> nn.Module:
    """A network of the zoo; the same one for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ZOO[name]()


def images(count: int = 4, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images with pixels in [0, 1]."""
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed)).to(dtype)


def scores_of(outputs: Any) -> Tensor:
    """The scores, which some networks return first of several tensors."""
    while not isinstance(outputs, Tensor):
        outputs = next(iter(outputs.values())) if isinstance(outputs, dict) else outputs[0]
    return outputs


@contextlib.contextmanager
def unless_refused(name: str, *what: str) -> Iterator[None]:
    """Its block passes; or, for networks of which that is said, it ends in a ``UsageError`` with the words given."""
    words = [REFUSALS[one][name] for one in what if name in REFUSALS.get(one, {})]
    if not words:
        yield
    else:
        with pytest.raises(UsageError, match="|".join(words)):
            yield


class Factors(TorchDispatchMode):
    """Records the factors of all products that are made within it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        for place in OPERANDS.get(func.overloadpacket, ()):
            self.seen.append(args[place].detach())
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def multiplied(model: nn.Module, zeros: bool = False) -> int:
    """How many weights are multiplied and are not zero.

    Weights are the factors of products that remain numbers when the images are none. Those that are multiplied twice
    count once, if they are read from the same memory.
    """
    torch.backends.mha.set_fastpath_enabled(False)  # it makes its products out of sight
    with Factors() as factors:
        model.eval()(torch.full((2, 1, 8, 8), torch.nan, dtype=dtype_of(model)))
    torch.backends.mha.set_fastpath_enabled(True)
    read: dict[int, Tensor] = {}
    for factor in factors.seen:
        if not factor.isnan().any():
            whole = torch.empty(0, dtype=factor.dtype).set_(factor.untyped_storage())
            marks = torch.zeros(len(whole), dtype=torch.bool)
            marks.as_strided(factor.shape, factor.stride(), factor.storage_offset()).fill_(True)
            read[whole.data_ptr()] = read.get(whole.data_ptr(), False) | (marks & (zeros | (whole != 0)))
    return sum(int(marks.count_nonzero()) for marks in read.values())


def used(model: nn.Module) -> set[str]:
    """The parameters on which the scores depend in evaluation mode."""
    parameters = {name: p for name, p in model.named_parameters() if p.is_floating_point()}
    scores = scores_of(model.eval()(images(dtype=dtype_of(model))))
    gradients = torch.autograd.grad(
        scores.sum(), [p.requires_grad_() for p in parameters.values()], allow_unused=True
    )
    return {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}


def dtype_of(model: nn.Module) -> torch.dtype:
    """The type of the images that a network takes."""
    return next(p.dtype for p in model.parameters() if p.is_floating_point())
