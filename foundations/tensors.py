"""Tensors and nested states as safetensors files, whose one metadata entry says whose they are and has a checksum.

The entry ``about`` is JSON in the envelope of ``foundations.formats``, with what the writer adds. With several entries
their order, and so the bytes, would change from run to run. The checksum is over names, types, shapes and bytes, in the
order of the names.

Nested states (a checkpoint, an optimizer's) are tensors by name, and JSON for the rest. Numbers, texts, lists, tuples
and dictionaries come back as they were, tensors on the CPU. JSON has neither tuples nor keys that are numbers, so that
each object in it says what it stands for: ``{"tensor": name}``, ``{"tuple": [...]}`` or ``{"dict": [[key, value]]}``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from foundations import formats
from foundations.formats import ABOUT, header_length

TENSORS = "tensors"
"""The entry that stands for types and shapes while the checksum is computed."""


def encode_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any] | None = None) -> bytes:
    """Return tensors by name, on any device and in any memory format, as a file; all are written in plain memory order.

    Those that share memory (tied weights) are written as often as they are named.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    seen: set[int] = set()
    for name, tensor in plain.items():
        if (place := tensor.untyped_storage().data_ptr()) in seen:
            plain[name] = tensor.clone()
        seen.add(place)
    sealed = formats.seal(path, about or {}, {TENSORS: shapes(plain)}, data=raw(plain))
    del sealed[TENSORS]
    return save(plain, {ABOUT: json.dumps(sealed)})


def decode_tensors(path: Path, content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and what their writer added.

    Raises:
        UsageError: a newer program wrote the file.
        Exception: one of ``store.UNREADABLE``: the content is damaged, or another file's.
    """
    header_length(content)  # refuses one that is too long
    tensors = load(content)
    about = json.loads(metadata_of(content)[ABOUT])
    if not isinstance(about, dict) or formats.SHA256 not in about:
        raise ValueError("it has no checksum")
    about = formats.unseal(path, {**about, TENSORS: shapes(tensors)}, raw(tensors))
    return tensors, {name: value for name, value in about.items() if name != TENSORS}


def metadata_of(content: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file; ``ValueError`` if its header is larger than makes sense."""
    return json.loads(content[8 : 8 + header_length(content)]).get("__metadata__") or {}


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: [str(tensor.dtype), *tensor.shape] for name, tensor in tensors.items()}


def raw(tensors: Mapping[str, Tensor]) -> list[memoryview]:
    """Return the bytes of contiguous tensors on the CPU, in the order of their names."""
    return [tensors[name].reshape(-1).view(torch.uint8).numpy().data for name in sorted(tensors)]


STATE = "state"


def encode_state(path: Path, value: Any) -> bytes:
    """Return a state as a safetensors file; raise ``TypeError`` for what is neither a tensor nor a plain value."""
    tensors: dict[str, Tensor] = {}

    def plain(value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            assert name not in tensors, name
            tensors[name] = value
            return {"tensor": name}
        if isinstance(value, Mapping):
            return {"dict": [[plain_key(key), plain(entry, joined(name, key))] for key, entry in value.items()]}
        if isinstance(value, list | tuple):
            entries = [plain(entry, joined(name, number)) for number, entry in enumerate(value)]
            return entries if isinstance(value, list) else {"tuple": entries}
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"{path}: {name} is a {type(value).__name__}, which cannot be stored")

    def plain_key(key: Any) -> str | int:
        if isinstance(key, str | int):
            return key
        raise TypeError(f"{path}: {key!r} is a {type(key).__name__}, which cannot be the name of an entry")

    skeleton = plain(value, "")
    return encode_tensors(path, tensors, {STATE: skeleton})


def joined(name: str, key: Any) -> str:
    return f"{name}/{key}" if name else str(key)


def decode_state(path: Path, content: bytes) -> Any:
    """Invert :func:`encode_state`; raise like ``decode_tensors``."""
    tensors, about = decode_tensors(path, content)

    def nested(value: Any) -> Any:
        if isinstance(value, list):
            return [nested(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        ((what, inner),) = value.items()
        if what == "tensor":
            return tensors[inner]
        return tuple(nested(inner)) if what == "tuple" else {key: nested(entry) for key, entry in inner}

    return nested(about[STATE])
