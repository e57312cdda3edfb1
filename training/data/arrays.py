"""Data sets that are arrays of numbers in a .npz file: ``--dataset=arrays:FILE.npz``."""

import os
import zipfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy

from foundations.errors import UsageError, first_line
from training.data.dataset import Dataset

LARGEST = 1 << 33
"""Bytes that are read from a file at most: a small one may claim any number."""
NAMES = ("x_train", "y_train", "x_test", "y_test")
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays called ``names`` of a file that ``numpy.savez`` or ``savez_compressed`` has written; others are not
    looked at. A name's first letter may be a capital: ``X_train`` is ``x_train``.

    ``numpy.load(allow_pickle=False)`` would believe what a header says of an array's size, and take the last of two
    arrays of one name.

    Raises:
        UsageError: there is no such file, it is damaged, or an array is missing, there twice, of a type that is no
            real number, or larger than a quarter of the memory or 8 GiB.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = find_members(archive, names)
            size = sum(member.file_size for member in members.values())
            if size > (limit := largest()):
                raise UsageError(f"its arrays would take {size:,} bytes; at most {limit:,} are read")
            return {name: read_member(archive, member) for name, member in members.items()}
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no such file; it should have the arrays {', '.join(names)}") from error
    except Exception as error:  # damaged archives make zipfile, zlib and numpy raise nearly anything
        raise UsageError(f"{path}: no intact .npz file ({first_line(error)})") from error


def largest() -> int:
    """Return ``LARGEST``, or a quarter of the machine's memory: arrays are held as read and as float32."""
    try:
        return min(LARGEST, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4)
    except (AttributeError, ValueError, OSError):
        return LARGEST


def find_members(archive: zipfile.ZipFile, names: Sequence[str]) -> dict[str, zipfile.ZipInfo]:
    """Return the entries of the archive for ``names``."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        name = name[:1].lower() + name[1:]
        if name in found:
            raise UsageError(f"the array {name} is there twice")
        if name in names:
            found[name] = member
    if missing := [name for name in names if name not in found]:
        there = ", ".join(sorted(member.filename.removesuffix(".npy") for member in archive.infolist())) or "nothing"
        raise UsageError(f"it lacks the array {missing[0]}; expected {', '.join(names)}; it has {there}")
    return found


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Return one array; zipfile reads no more of it than its entry says, and checks its checksum."""
    name = member.filename
    with archive.open(member) as stream:
        shape, fortran, dtype = read_header(stream, name)
        size = member.file_size - stream.tell()
        if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != size:
            raise UsageError(f"{name}: its header says {dtype} of shape {shape}, which is not the {size:,} bytes there")
        values = np.frombuffer(stream.read(size), dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def read_header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, order and type of a .npy file; refuse all but real numbers, objects above all."""
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise UsageError(f"{name}: version {version} of the .npy format; expected 1.0 or 2.0")
    shape, fortran, dtype = HEADERS[version](stream)
    if dtype.kind not in "fiu":
        what = "Python objects, which are never loaded" if dtype.hasobject else f"values of type {dtype}"
        raise UsageError(f"{name} has {what}; expected floating-point or whole numbers")
    return shape, fortran, dtype


def read_arrays(path: Path) -> Dataset:
    """Return the features and labels in a .npz file, features as they are.

    It has ``x_train`` (N, ...) and ``x_test`` (M, ...), real numbers that float32 can hold, and ``y_train`` (N,) and
    ``y_test`` (M,), whole numbers 0 to C - 1.

    Raises:
        UsageError: the file cannot be read (see :func:`read_npz`), or its arrays do not fit.
    """
    arrays = read_npz(path, NAMES)
    splits = [(features(arrays, split), labels(arrays, split)) for split in ("train", "test")]
    return Dataset.from_features(*splits[0], *splits[1])


def features(arrays: dict[str, np.ndarray], split: str) -> torch.Tensor:
    """Return the features of a split as float32, (N, ...)."""
    given = arrays[f"x_{split}"]
    if given.ndim < 2 or 0 in given.shape:
        raise UsageError(f"x_{split} has shape {given.shape}; expected (examples, features, ...)")
    with np.errstate(over="ignore"):
        values = given.astype(np.float32)
    if not np.isfinite(values).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(values))[0])
        raise UsageError(f"x_{split} is {given[where]} at {list(where)}; expected finite numbers within float32")
    return torch.from_numpy(values)


def labels(arrays: dict[str, np.ndarray], split: str) -> Any:
    """Return the labels of a split, whole numbers, each class of 0 to the largest in the training set at least once."""
    given, size = arrays[f"y_{split}"], len(arrays[f"x_{split}"])
    if given.dtype.kind not in "iu" or given.shape != (size,):
        raise UsageError(
            f"y_{split} has {given.dtype} of shape {given.shape}; expected a whole number for each of {size} examples"
        )
    classes = np.unique(arrays["y_train"])
    if not np.array_equal(classes, np.arange(len(classes))):
        odd = next(label for number, label in enumerate(classes) if label != number)
        raise UsageError(f"y_train has {len(classes)} classes, among them {odd}; expected the classes 0, 1, 2, ...")
    if not np.isin(given, classes).all():
        raise UsageError(f"y_{split} has the label {given[~np.isin(given, classes)][0]}, which y_train lacks")
    return given.astype(np.int64)
