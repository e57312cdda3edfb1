"""From the hyperparameters to the data."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from foundations.errors import UsageError
from foundations.processes import own_share
from foundations.reporting import Reporter
from training.data.arrays import read_arrays
from training.data.batches import TrainingData
from training.data.dataset import Dataset, ImageFiles, Loader, datasets
from training.data.device import DeviceData
from training.data.hparams import DataHparams
from training.data.image_files import contents
from training.data.image_folder import read_folder
from training.data.streaming import StreamedData
from training.data.transformations import transform

FOLDER, ARRAYS, BUNDLED = "image_folder", "arrays", "digits"
MOST_WORKERS = 8


def load(hparams: DataHparams, data_dir: Path, reporter: Reporter) -> Dataset:
    """Return the data set that ``hparams`` name, decoded, its training set transformed as they say.

    Raises:
        UsageError: there is no such data set, it is streamed, or its files are absent, unreadable or do not fit each
            other.
    """
    found = read(hparams.dataset, data_dir, reporter)
    if isinstance(found, ImageFiles):
        raise UsageError(f"--dataset={hparams.dataset}: its images stay in their files; open_data() streams them")
    return transform(found, hparams)


def open_data(
    hparams: DataHparams, data_dir: Path, reporter: Reporter, device: torch.device, *, workers: int | None = None,
    verify: bool = False,
) -> TrainingData:  # fmt: skip
    """Return the batches of the data set that ``hparams`` name, its training set transformed as they say.

    Args:
        hparams: data set, batches and transformations.
        data_dir: the directory of all data sets.
        reporter: says what was read, and what takes long.
        device: where the batches are wanted.
        workers: processes that decode images which are streamed; None for as many as there are processors, which
            the processes of ``torchrun`` share, at most ``MOST_WORKERS``.
        verify: the fingerprint of image files is also that of their contents, all of which are read.

    Raises:
        UsageError: like :func:`load`.
    """
    found: Any = read(hparams.dataset, data_dir, reporter)
    if verify and isinstance(found, ImageFiles):
        found = replace(found, fingerprint=f"{found.fingerprint}+{contents(found, reporter)}")
    found = transform(found, hparams)  # of image files, the numbers of images stand in the images' place
    describe(found, hparams.dataset, reporter)
    if not isinstance(found, ImageFiles):
        return DeviceData(found, hparams, device)
    if workers is None:
        workers = max(1, min(MOST_WORKERS, (os.cpu_count() or 1) // own_share().of))
    return StreamedData(found, hparams, device, workers)


def read(name: str, data_dir: Path, reporter: Reporter) -> Dataset | ImageFiles:
    """Read a data set as it is; errors name it."""
    loader = find_loader(name)
    try:
        return loader(data_dir, reporter)
    except UsageError as error:
        if str(error).startswith("--"):
            raise
        raise UsageError(f"--dataset={name}: {error}") from error


def describe(data: Dataset | ImageFiles, name: str, reporter: Reporter) -> None:
    """Say what was read from files, as it will be trained on, and warn of what is probably not meant."""
    sizes = torch.bincount(data.train.labels, minlength=data.classes)
    smallest = int(sizes.argmin())
    splits = ", ".join(f"{len(split):,} {kind}" for kind, split in data.splits.items())
    shape = data.shape
    if name != BUNDLED:  # of which there is nothing to find out
        reporter.say(
            f"Data {name}: {splits} images of {shape.channels}x{shape.height}x{shape.width}, {data.classes} classes, "
            f"the smallest {data.class_names[smallest]!r} with {int(sizes[smallest]):,} training images"
        )
    empty = [data.class_names[label] for label in (sizes == 0).nonzero().flatten().tolist()]
    if empty:
        reporter.warn(f"--dataset={name}: classes without a training image: {len(empty)} (the first: {empty[0]!r})")
    for remark in data.remarks:
        reporter.warn(f"--dataset={name}: {remark}")


def find_loader(name: str) -> Loader:
    """Return what loads a registered data set, ``image_folder:<name>`` or ``arrays:<file>``; nothing is read yet.

    Raises:
        UsageError: there is no data set of this name.
    """
    kind, _, place = name.partition(":")
    if kind == FOLDER:
        if place in ("", "..") or Path(place).name != place or not place.isprintable():
            raise UsageError(
                f"--dataset={name}: expected {FOLDER}:NAME, where NAME/train/CLASS/ and NAME/test/CLASS/ "
                "lie in --data_dir"
            )
        return lambda data_dir, reporter: read_folder(place, data_dir, reporter)
    if kind == ARRAYS:
        if not place or not place.isprintable():
            raise UsageError(f"--dataset={name}: expected {ARRAYS}:FILE.npz, a file in --data_dir or an absolute path")
        return lambda data_dir, reporter: read_arrays(data_dir / place)
    try:
        return datasets.get(name)
    except UsageError as error:
        raise UsageError(f"{error}, {FOLDER}:NAME, {ARRAYS}:FILE.npz") from None
