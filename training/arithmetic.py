"""How numbers are computed: precision, torch.compile, memory format."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from pruning.prunable import sharing_memory
from training.hparams import TrainingHparams


@contextlib.contextmanager
def arithmetic(hparams: TrainingHparams, device: torch.device) -> Iterator[None]:
    """Inside, everything is computed in the precision that ``hparams`` name.

    Autocast's cache of cast weights is off: it would keep those of the first step for all that follow.

    Raises:
        UsageError: a plug-in has set PyTorch's newer switches for the same.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    try:
        before = cudnn.allow_tf32, matmul.allow_tf32
    except RuntimeError as error:
        raise UsageError(
            f"--precision={hparams.precision}: a plug-in, or this process, has set a fp32_precision of torch.backends, "
            "with which PyTorch refuses to say whether TF32 is on; leave that to --precision (fp32, tf32, bf16)"
        ) from error
    cudnn.allow_tf32 = matmul.allow_tf32 = hparams.precision == "tf32"
    try:
        if hparams.precision != "bf16":
            yield
            return
        with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
            yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


@contextlib.contextmanager
def fastest_convolutions() -> Iterator[None]:
    """Inside, cuDNN tries its algorithms for each shape and takes the fastest.

    Not where algorithms have to be deterministic: the trial may end differently the next time.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def emulates_bf16(device: torch.device) -> bool:
    """Return whether ``device`` has no bfloat16 arithmetic, so that it would be slower than float32."""
    if device.type == "cuda":
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()


PROGRAMS = 10_000
"""More than any process needs: two for each network that it trains, whole batches and the last of an epoch."""


def check_compiler(hparams: TrainingHparams) -> None:
    """Raise ``UsageError`` if the network is to be compiled on a machine without a compiler."""
    names = (os.environ.get("CXX", "g++"), "g++", "clang++", "cl")
    if hparams.compile and not any(map(shutil.which, names)):
        raise UsageError(f"--compile: needs a C++ compiler (one of {', '.join(dict.fromkeys(names))}); none was found")


def compiled(model: nn.Module, hparams: TrainingHparams) -> Callable[[Tensor], Tensor]:
    """Return the network's forward pass, compiled at its first call if ``hparams`` say so; parameters stay shared.

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


NARROW = 16
"""Channels below which oneDNN's backward pass of a strided 1x1 convolution writes past the end of its buffer."""


def find_memory_format(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Return channels-last, which is faster, unless it would crash.

    On a CPU the gradient of a strided 1x1 convolution with few input channels (fewer than 8 with AVX2, than 16 with
    AVX-512) corrupts the memory of the process in that format: uxlfoundation/oneDNN issue 6035. The narrow networks
    that hold one are channels-first. So are those that :func:`keep_contiguous` was called with, those of which two
    parameters share memory, which would be moved apart, and those with parameters of five dimensions, which have no
    such format.
    """
    crash = device.type == "cpu" and any(crashes(module) for module in model.modules())
    volumes = any(tensor.dim() == 5 for tensor in (*model.parameters(), *model.buffers()))
    if crash or volumes or is_kept_contiguous(model) or sharing_memory(model):
        return torch.contiguous_format
    return torch.channels_last


def keep_contiguous(model: nn.Module) -> None:
    """Give ``model`` its images in plain memory order from here on; :func:`find_memory_format` then says so.

    For networks that use ``x.view(len(x), -1)``, which fails on feature maps that are channels-last.
    """
    if not is_kept_contiguous(model):
        model.register_forward_pre_hook(contiguous_inputs)


def is_kept_contiguous(model: nn.Module) -> bool:
    """Return whether :func:`keep_contiguous` was called with a network, or with what it is a copy of."""
    return contiguous_inputs in model._forward_pre_hooks.values()


def contiguous_inputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(convert(images, torch.contiguous_format) for images in inputs)


def crashes(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels < NARROW
    )


def convert(images: Tensor, memory_format: torch.memory_format) -> Tensor:
    """Return ``images`` (B, C, H, W), which come channels-last, in ``memory_format``.

    They are cloned, since gray images have either format, and PyTorch then takes them for channels-last.
    """
    return images if memory_format == torch.channels_last else images.clone(memory_format=memory_format)
