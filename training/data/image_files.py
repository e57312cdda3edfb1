"""Data sets whose images stay in their files, since they are too large for the device or of many sizes."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from foundations.errors import UsageError
from foundations.formats import digest
from foundations.reporting import Reporter
from models.registry import ImageShape
from training.data.dataset import Split
from training.data.image_folder import Listing, list_images, size_of

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of each channel, as everybody normalizes large images; those of open_lth and of torchvision's networks."""
BETWEEN = 1000
"""Files between two lines of progress."""
LOOKED_AT = 1000
"""Images whose sizes are compared, once there are several."""
FEW = 0.05
"""Images of another size, for each of the most common one, that are more likely a mistake than meant."""
AT_ONCE = 8
"""Files that are hashed at once: disks are faster than one thread."""


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """What a registered data set returns that is streamed; the counterpart of ``Dataset``.

    Args:
        paths: of all images, encoded, (N,); an array of bytes, since a million strings would fill each worker.
        train: the numbers of its images, in ``paths``, in the place of the images, and their labels.
        test: the test set alike.
        class_names: the name of each label.
        fingerprint: sha256 of the names, sizes and times of all files, in hex; with ``+`` and a sha256 of their
            contents after it, where that was asked for.
        size: height and width of what a network is given.
        resized: the shorter side, before the middle is cut out for evaluation.
        flip: whether a mirrored training image is still one of its class.
        validation: what has been held out of the training set, if anything.
        remarks: what was noticed on reading that the user should know.
    """

    paths: np.ndarray
    train: Split
    test: Split
    class_names: tuple[str, ...]
    fingerprint: str
    size: int = 224
    resized: int = 256
    flip: bool = True
    validation: Split | None = None
    remarks: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, Split]:
        """``train``, ``test`` and, where there is one, ``validation``."""
        held_out = {} if self.validation is None else {"validation": self.validation}
        return {"train": self.train, "test": self.test, **held_out}

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def shape(self) -> ImageShape:
        """What a model is told: all images are coloured."""
        return ImageShape(3, self.size, self.size, self.classes)


def from_listing(listing: Listing) -> ImageFiles:
    """The files of an image folder."""
    labels, end, size = torch.tensor(listing.labels), listing.train_size, len(listing.paths)
    return ImageFiles(
        np.array([os.fsencode(path) for path in listing.paths]),
        Split(torch.arange(end), labels[:end]),
        Split(torch.arange(end, size), labels[end:]),
        listing.class_names,
        listing.digest,
        remarks=listing.remarks,
    )


def read_image_files(folder: Path, dataset: str, splits: Sequence[str], reporter: Reporter) -> ImageFiles:
    """The images of ``<folder>/{train,val}/<class>/``.

    Args:
        folder: where they are.
        dataset: the value of ``--dataset``, for error messages.
        splits: the names of training set and test set.
        reporter: says that it takes a while.

    Raises:
        UsageError: a directory is absent or empty, or the classes of the two splits differ.
    """
    reporter.say(f"Listing the images in {folder}")
    try:
        return from_listing(list_images(folder, splits))
    except UsageError as error:
        raise UsageError(f"--dataset={dataset}: {error}") from error


def stay_in_files(listing: Listing, limit: int) -> bool:
    """Whether the images of a folder are of several sizes, or take more than ``limit`` bytes when they are decoded.

    Headers are read until that is known, and after a second size those of ``LOOKED_AT`` more images; an image that
    cannot be read is left to whoever decodes it.

    Raises:
        UsageError: of images that are small, a few are of another size than all others. With those the set would be
            streamed, as random parts at the size of ImageNet's.
    """
    sizes: dict[tuple[int, int], list[str]] = {}
    left = len(listing.paths)
    for path in listing.paths:
        if (size := size_of(path)) is not None:
            sizes.setdefault(size, []).append(path)
        left = min(left - 1, LOOKED_AT) if len(sizes) > 1 else left - 1
        if size is not None and len(sizes) == 1 and 3 * size[0] * size[1] * len(listing.paths) > limit:
            return True
        if left <= 0:
            break
    if len(sizes) < 2:
        return False
    common, *others = sorted(sizes, key=lambda size: len(sizes[size]), reverse=True)
    odd = sum(len(sizes[size]) for size in others)
    fits = 3 * common[0] * common[1] * len(listing.paths) <= limit
    if fits and odd <= FEW * len(sizes[common]):
        raise UsageError(
            f"{sizes[others[0]][0]} has {others[0][0]}x{others[0][1]} pixels; nearly all others have "
            f"{common[0]}x{common[1]}. Resize or remove those of another size ({odd} of {odd + len(sizes[common])} "
            "looked at); images of many sizes would be streamed"
        )
    return True


def contents(files: ImageFiles, reporter: Reporter) -> str:
    """The sha256 of the contents of all files, in their order, in hex."""

    def of(path: bytes) -> bytes:
        with Path(os.fsdecode(path)).open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    sums: list[bytes] = []
    with (
        reporter.progress("Verifying images", len(files.paths), "files") as advance,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        for some in np.array_split(files.paths, range(BETWEEN, len(files.paths), BETWEEN)):
            sums += pool.map(of, some)
            advance(len(some))
    return digest(*sums)
