"""Data sets that are arrays of numbers in a .npz file: ``--dataset=arrays:FILE.npz``."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from foundations.errors import UsageError
from training.data.dataset import Dataset
from training.data.npz import read_npz

NAMES = ("x_train", "y_train", "x_test", "y_test")


def read_arrays(file: str, data_dir: Path) -> Dataset:
    """The features and labels in a .npz file, features as they are.

    Args:
        file: below ``data_dir``, or an absolute path. It has ``x_train`` (N, ...) and ``x_test`` (M, ...), real
            numbers that float32 can hold, and ``y_train`` (N,) and ``y_test`` (M,), whole numbers 0 to C - 1.
        data_dir: the directory of all data sets.

    Raises:
        UsageError: the file cannot be read (see :func:`training.data.npz.read_npz`), or its arrays do not fit.
    """
    try:
        arrays = read_npz(data_dir / file, NAMES)
        splits = [(features(arrays, split), labels(arrays, split)) for split in ("train", "test")]
        return Dataset.from_features(*splits[0], *splits[1])
    except UsageError as error:
        raise UsageError(f"--dataset=arrays:{file}: {error}") from error


def features(arrays: dict[str, np.ndarray], split: str) -> torch.Tensor:
    """The features of a split as float32, (N, ...)."""
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
    """The labels of a split, whole numbers, each class of 0 to the largest in the training set at least once."""
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
