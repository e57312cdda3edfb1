"""The arithmetic of training and evaluation: what ``--precision`` asks for, and PyTorch's switches for it."""

import contextlib
from collections.abc import Iterator

import torch

from foundations.errors import UsageError
from training.hparams import TrainingHparams


@contextlib.contextmanager
def arithmetic(hparams: TrainingHparams, device: torch.device) -> Iterator[None]:
    """The precision of everything computed inside.

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
    """Whether ``device`` has no bfloat16 arithmetic, so that it would be slower than float32."""
    if device.type == "cuda":
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
