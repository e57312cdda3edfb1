"""Files of weights that other programs have written: read without running any code in them, and put into a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from foundations.errors import UsageError, near_misses
from foundations.formats import digest
from foundations.pickles import decode_pickle
from foundations.tensors import check_header

NESTED = ("state_dict", "model_state_dict", "model")
"""Entries of larger checkpoints that hold the state dict."""
SHOWN = 4
"""Names that a message lists of each kind."""


def read_checkpoint(path: Path, named: str = "") -> tuple[dict[str, Tensor], str]:
    """Weights by name from a safetensors file or a plain state dict, and the first 12 hex digits of its sha256.

    A state dict may lie within a larger checkpoint, under a key of ``NESTED``. No code in it is run.

    Args:
        path: of the file.
        named: what the user called it by, for messages; ``--checkpoint=<path>`` if empty.

    Raises:
        UsageError: the file is missing, unreadable, or holds something else.
    """
    named = named or f"--checkpoint={path}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{named}: {error.strerror or error}") from error
    key = digest(content)[:12]
    try:
        check_header(content)
        return load(content), key
    except KeyError as error:
        raise UsageError(f"{named}: a tensor has the type {error}, which PyTorch does not have") from error
    except (SafetensorError, ValueError):
        pass
    try:
        value = decode_pickle(content)
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise UsageError(f"{named}: neither safetensors nor a plain state dict") from error
    for name in NESTED:
        if isinstance(value, Mapping) and isinstance(value.get(name), Mapping):
            value = value[name]
    if not isinstance(value, Mapping):
        raise UsageError(f"{named}: expected a state dict, tensors by name; found {type(value).__name__}")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            found = f"{name!r} is {type(tensor).__name__}"
            raise UsageError(f"{named}: expected a state dict, tensors by name; {found}")
    return dict(value), key


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], named: str = "--checkpoint") -> None:
    """Puts the tensors into the model, each as the type that it has there.

    BatchNorm's counters of batches (``num_batches_tracked``) may be missing.

    Raises:
        UsageError: names, shapes or types do not fit; the first of each are listed.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    unknown = [name for name in tensors if name not in own]
    unknown = [f"{name}{near_misses(name, missing)}" for name in unknown[:SHOWN]] + unknown[SHOWN:]
    shapes = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    types = [
        f"{name} {tensor.dtype}"
        for name, tensor in tensors.items()
        if name in own and not fits(tensor, own[name])
    ]
    found = {"missing": missing, "unknown": unknown, "of another shape": shapes, "of another type": types}
    if any(found.values()):
        lists = "; ".join(f"{what}: {listed(names)}" for what, names in found.items() if names)
        raise UsageError(f"{named} does not fit --model: {lists}")
    model.load_state_dict(dict(tensors), strict=False)


def listed(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join([*names[:SHOWN], *more])


def fits(tensor: Tensor, own: Tensor) -> bool:
    """Whether a tensor is a plain one of numbers of the same sort, of whatever precision."""
    same_sort = tensor.is_floating_point() == own.is_floating_point() and not tensor.is_complex()
    return same_sort and tensor.layout == own.layout and not tensor.is_meta and not tensor.is_quantized
