"""Image files: finding them in ``<folder>/{train,test}/<class>/``, and reading one."""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps

from foundations.errors import UsageError
from foundations.formats import digest
from foundations.reporting import Reporter
from training.data.dataset import ImageFiles, Split

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""
LOOKED_AT = 1000
"""Images whose sizes are compared, once there are several."""
FEW = 0.05
"""Images of another size, for each of the most common one, that are more likely a mistake than meant."""
BETWEEN = 1000
"""Files between two lines of progress."""
AT_ONCE = 8
"""Files that are hashed at once: disks are faster than one thread."""


@dataclass(frozen=True)
class Listing:
    """What lies in an image folder, training images first, sorted by class and file name.

    ``digest`` is that of names, sizes and times of modification. ``cache_key`` has the times of the files' entries too,
    which change where two files of one size and time are swapped. ``remarks`` say what was passed over, and which
    classes lie elsewhere.
    """

    class_names: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    train_size: int
    digest: str
    cache_key: str
    remarks: tuple[str, ...] = ()

    def as_files(self) -> ImageFiles:
        """Return the data set whose images stay in these files."""
        labels, end, size = torch.tensor(self.labels), self.train_size, len(self.paths)
        return ImageFiles(
            paths=np.array([os.fsencode(path) for path in self.paths]), class_names=self.class_names,
            train=Split(torch.arange(end), labels[:end]), test=Split(torch.arange(end, size), labels[end:]),
            fingerprint=self.digest, remarks=self.remarks,
        )  # fmt: skip


def list_images(folder: Path, splits: Sequence[str] = ("train", "test")) -> Listing:
    """Find the images of both splits; files that are no images by their name are passed over, and counted.

    Raises:
        UsageError: a directory is absent or empty, or the classes of the two splits differ.
    """
    classes = {split: subdirectories(folder / split) for split in splits}
    train, test = splits
    if classes[train] != classes[test]:
        odd = sorted(set(classes[train]) ^ set(classes[test]))[0]
        raise UsageError(f"{folder}: {train} and {test} must have the same classes, but only one has {odd!r}")
    passed_over: Counter[str] = Counter()
    found = [{name: images_in(folder / split / name, passed_over) for name in classes[split]} for split in splits]
    directories = [folder / split / name for split in splits for name in classes[split]]
    for split in splits:
        passed_over["beside the classes"] += sum(map(is_visible_file, (folder / split).iterdir()))
    links = [path for path in directories if not path.resolve().is_relative_to(folder.resolve())]
    remarks = counted(passed_over)
    if links:
        remarks.append(f"classes that are links to elsewhere: {len(links)} (first {links[0]}, to {links[0].resolve()})")
    return listing_of(folder, found[0], found[1], remarks=remarks)


def subdirectories(directory: Path) -> list[str]:
    """Return the names of the classes, sorted."""
    if not directory.is_dir():
        raise UsageError(f"{directory} is missing; images are looked for in {directory}/CLASS/")
    names = sorted(path.name for path in directory.iterdir() if not path.name.startswith(".") and path.is_dir())
    if not names:
        raise UsageError(f"{directory}: no class in it; images are looked for in {directory}/CLASS/")
    return names


def images_in(directory: Path, passed_over: "Counter[str]") -> list[str]:
    """Return the paths of the images of a class, sorted; count other files by what they are.

    Hidden files (macOS leaves some beside images) are neither.
    """
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(SUFFIXES):
                found.append(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                below = (Path(top, name) for top, _, names in os.walk(entry.path) for name in names)
                passed_over["in subdirectories"] += sum(map(is_visible_file, below))
            else:
                passed_over[Path(entry.name).suffix.lower() or "without a suffix"] += 1
    if not found:
        raise UsageError(f"{directory}: no images in it (files in {' '.join(SUFFIXES)})")
    return sorted(found)


def is_visible_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def counted(passed_over: "Counter[str]") -> list[str]:
    """Return what was passed over, as a remark; none if nothing was."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(passed_over.items()) if number)
    return [f"files passed over: {passed_over.total()} ({kinds}); read are {' '.join(SUFFIXES)}"] if kinds else []


def listing_of(
    folder: Path, train: Mapping[str, Sequence[str]], test: Mapping[str, Sequence[str]], *others: str,
    remarks: Sequence[str] = (),
) -> Listing:  # fmt: skip
    """Return the listing of training and test images, paths by class, all of them in ``folder``.

    ``others`` are files that say something about them.

    Raises:
        UsageError: a file is missing, or no regular one: a pipe or a device might be read for ever.
    """
    paths = [path for split in (train, test) for images in split.values() for path in images]
    labels = [label for split in (train, test) for label, images in enumerate(split.values()) for _ in images]
    manifest, changed = [], []
    for path in (*paths, *others):
        try:
            status = Path(path).stat()
        except OSError as error:
            raise UsageError(f"{path} cannot be read ({error.strerror})") from error
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path} is not a regular file")
        manifest.append(f"{path.removeprefix(f'{folder}{os.sep}')} {status.st_size} {status.st_mtime_ns}")
        changed.append(status.st_ctime_ns)
    summary = digest("\n".join(manifest).encode(errors="surrogateescape"))
    return Listing(
        tuple(train), tuple(paths), tuple(labels), sum(map(len, train.values())), summary,
        cache_key=digest(f"{summary} {changed}".encode()), remarks=tuple(remarks),
    )  # fmt: skip


def read_image_files(folder: Path, dataset: str, splits: Sequence[str], reporter: Reporter) -> ImageFiles:
    """Return the images of ``<folder>/<split>/<class>/``, to be streamed; ``splits`` name training and test set.

    Raises:
        UsageError: a directory is absent or empty, or the classes of the two splits differ; it names ``dataset``.
    """
    reporter.say(f"Listing the images in {folder}")
    try:
        return list_images(folder, splits).as_files()
    except UsageError as error:
        raise UsageError(f"--dataset={dataset}: {error}") from error


def read_image(path: str, most_pixels: int) -> tuple[Image.Image, bool]:
    """Return an image as RGB, turned as its EXIF data say, and whether it was gray.

    Raises:
        UsageError: it is unreadable, has more pixels or more than 8 bits each, or some of them are transparent: what is
            seen behind those is not said.
    """
    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":
                raise ValueError("more than 8 bits per pixel")
            if image.width * image.height > most_pixels:
                raise ValueError(f"{image.width}x{image.height} pixels; at most {most_pixels} are read")
            gray = image.mode in ("1", "L")
            if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
                raise ValueError("it has transparent pixels; save it on a background of your choice")
            return ImageOps.exif_transpose(image).convert("RGB"), gray
    except Exception as error:  # damaged files make PIL raise nearly anything
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else error
        raise UsageError(f"{path} cannot be read ({reason})") from error


def size_of(path: str) -> tuple[int, int] | None:
    """Return width and height of an image as it is turned, by its header; None if that cannot be read."""
    try:
        with Image.open(path) as image:
            asked = image.format != "PNG" or "exif" in image.info  # others are decoded by the question
            turned = asked and image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
            return (image.height, image.width) if turned else image.size
    except Exception:  # damaged files make PIL raise nearly anything
        return None


def stay_in_files(listing: Listing, limit: int) -> bool:
    """Return whether a folder's images are of several sizes, or take more than ``limit`` bytes when decoded.

    Headers are read until that is known, and after a second size those of ``LOOKED_AT`` more images; an image that
    cannot be read is left to whoever decodes it.

    Raises:
        UsageError: of images that are small, a few are of another size than all others. With those the set would be
            streamed, as random parts at the size of ImageNet's.
    """
    sizes: dict[tuple[int, int], list[str]] = {}
    left = total = len(listing.paths)
    for path in listing.paths:
        if (size := size_of(path)) is not None:
            sizes.setdefault(size, []).append(path)
        if len(sizes) == 1 and bytes_of(*sizes) * total > limit:
            return True
        left = min(left - 1, LOOKED_AT) if len(sizes) > 1 else left - 1
        if left <= 0:
            break
    if len(sizes) < 2:
        return False
    common, *others = sorted(sizes, key=lambda size: len(sizes[size]), reverse=True)
    most, odd = len(sizes[common]), sum(len(sizes[size]) for size in others)
    if bytes_of(common) * total <= limit and odd <= FEW * most:
        raise UsageError(
            f"{sizes[others[0]][0]} has {others[0][0]}x{others[0][1]} pixels; nearly all others have "
            f"{common[0]}x{common[1]}. Resize or remove those of another size ({odd} of {odd + most} looked at); "
            "images of many sizes would be streamed"
        )
    return True


def bytes_of(size: tuple[int, int]) -> int:
    return 3 * size[0] * size[1]


def contents(files: ImageFiles, reporter: Reporter) -> str:
    """Return the sha256 of the contents of all files, in their order, in hex."""

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
