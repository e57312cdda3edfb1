"""Nested states (a checkpoint, an optimizer's) as tensors by name and JSON for the rest.

Numbers, texts, lists, tuples and dictionaries come back as they were, tensors on the CPU. JSON has neither tuples nor
keys that are numbers, so that each object in it says what it stands for: ``{"tensor": name}``, ``{"tuple": [...]}`` or
``{"dict": [[key, value], ...]}``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from foundations.tensors import decode_tensors, encode_tensors

STATE = "state"


def encode_state(path: Path, value: Any) -> bytes:
    """A state as a safetensors file; ``TypeError`` if something in it is neither a tensor nor a plain value."""
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
    """The name of an entry of a nested value."""
    return f"{name}/{key}" if name else str(key)


def decode_state(path: Path, content: bytes) -> Any:
    """The inverse of :func:`encode_state`; raises like ``decode_tensors``."""
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
