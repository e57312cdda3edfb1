"""torch.compile: the check for a compiler, the compiled network, and room for all its programs."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from training.hparams import TrainingHparams

PROGRAMS = 10_000
"""More than any process needs: two for each network that it trains, whole batches and the last of an epoch."""


def check_compiler(hparams: TrainingHparams) -> None:
    """Raises ``UsageError`` if the network is to be compiled on a machine without a compiler."""
    names = (os.environ.get("CXX", "g++"), "g++", "clang++", "cl")
    if hparams.compile and not any(map(shutil.which, names)):
        raise UsageError(f"--compile: needs a C++ compiler (one of {', '.join(dict.fromkeys(names))}); none was found")


def compiled(model: nn.Module, hparams: TrainingHparams) -> Callable[[Tensor], Tensor]:
    """The network's forward pass, compiled at its first call if ``hparams`` say so; parameters stay shared.

    There is a program for each size of a batch, of which training has two: with sizes left open it would be slower.
    """
    return torch.compile(model, dynamic=False) if hparams.compile else model


@contextlib.contextmanager
def room_for_programs(hparams: TrainingHparams) -> Iterator[None]:
    """Inside, whatever is to be compiled is compiled.

    PyTorch counts the programs of all networks of one class together. From the ninth on it would run the others
    uncompiled, with other last bits, depending on what the process has trained before.
    """
    if not hparams.compile:
        yield
        return
    import torch._dynamo.config as config  # slow to import, and only compiled training needs it

    with config.patch(recompile_limit=PROGRAMS, accumulated_recompile_limit=PROGRAMS):
        yield
