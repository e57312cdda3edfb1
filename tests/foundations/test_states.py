"""States as safetensors: whatever is put in comes out, and every change to the file is noticed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from foundations.errors import UsageError
from foundations.store import Store
from foundations.tensors import decode_state, encode_state

HERE = Path("train_0123456789ab/replicate_1/checkpoint.safetensors")
TENSORS = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool]).map(
    lambda dtype: torch.tensor([[0, 1], [1, 1]]).to(dtype)
)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    PLAIN | TENSORS,
    lambda inner: st.lists(inner, max_size=3)
    | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(st.integers() | st.text(alphabet="abc", max_size=2), inner, max_size=3),
    max_leaves=8,
)


def alike(one: Any, other: Any) -> bool:
    """Whether two nested values are the same, types included; NaN is itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other) or (one != one and other != other)


@given(VALUES)
def test_what_is_put_in_comes_out(value: Any) -> None:
    assert alike(decode_state(HERE, encode_state(HERE, value)), value)


def test_shapes_without_entries_and_without_dimensions_come_out() -> None:
    value = {"empty": torch.zeros(0, 3), "number": torch.tensor(2.5), "in": {"a": torch.ones(1), 1: torch.zeros(1)}}
    assert alike(decode_state(HERE, encode_state(HERE, value)), value)


def test_what_is_no_plain_value_is_refused_by_its_place() -> None:
    with pytest.raises(TypeError, match="optimizer/hook is a Path"):
        encode_state(HERE, {"optimizer": {"hook": PathLike()}})


class PathLike:
    """Something that JSON has no form for."""


PathLike.__name__ = "Path"


def test_every_flipped_bit_of_a_file_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path / "train_0123456789ab" / "replicate_1")
    store.write_state(HERE.name, {"iteration": 3, "w": torch.randn(5)})
    whole = store.read_bytes(HERE.name)
    for place in range(len(whole)):
        for bit in range(8):
            content = bytearray(whole)
            content[place] ^= 1 << bit
            (store / HERE.name).write_bytes(content)
            with pytest.raises(UsageError):
                store.read_state(HERE.name)
