"""Data sets that are folders of images, ``<name>/{train,test}/<class>/<image>``, decoded only once."""

import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from foundations.disk import atomic_write
from foundations.errors import UsageError
from foundations.formats import digest
from foundations.reporting import Reporter
from foundations.store import UNREADABLE
from training.data.dataset import Dataset

SOURCE = "source"


def cache_of(data_dir: Path, name: str) -> Path:
    """Where the decoded images of a folder are kept."""
    return data_dir / f"{name}.cache.safetensors"


def is_cached(data_dir: Path, name: str, source: str) -> bool:
    """Whether what was decoded from ``source`` (a digest) is kept; reads no image."""
    if not cache_of(data_dir, name).is_file():
        return False
    try:
        with safe_open(cache_of(data_dir, name), framework="pt") as file:
            return bool((file.metadata() or {}).get(SOURCE) == source)
    except (OSError, *UNREADABLE):
        return False


def read_cache(path: Path, source: str) -> Tensor | None:
    """What :func:`write_cache` stored for ``source``; None if there is no such file, or it is damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get(SOURCE) != source:
                return None
            images: Tensor = file.get_tensor("images")
            return images
    except (OSError, *UNREADABLE):
        return None


def write_cache(path: Path, source: str, images: Tensor, reporter: Reporter) -> None:
    """Stores the images decoded from ``source`` (a digest); where that is impossible, says so and goes on."""
    try:
        with atomic_write(path) as temporary:
            save_file({"images": images}, temporary, metadata={SOURCE: source})
    except (OSError, SafetensorError) as error:
        reporter.warn(f"The decoded images cannot be kept in {path} ({error}); they are decoded each time.")


SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
SPLITS = ("train", "test")
ADVANCE_EVERY = 500
PIXELS_LIMIT = 1 << 24
"""Pixels of an image that is decoded; a small file may claim any number."""
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


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


def read_image_folder(
    name: str, data_dir: Path, reporter: Reporter, *, dataset: str, crop_padding: int = 4, flip: bool = True
) -> Dataset:
    """The images of ``<data_dir>/<name>/{train,test}/<class>/``, classes in alphabetical order.

    All images must be of one size. They stay gray if all of them are, else all become RGB. Decoded, they are
    kept in ``<data_dir>/<name>.cache.safetensors`` and read from there until a file changes.

    Args:
        name: the folder.
        data_dir: the directory of all data sets.
        reporter: shows the progress of decoding.
        dataset: the value of ``--dataset``, for error messages.
        crop_padding: see ``Dataset``.
        flip: see ``Dataset``.

    Raises:
        UsageError: a directory is absent or empty, the classes of the two splits differ, or an image is
            unreadable or of another size; nothing is written then.
    """
    try:
        listing = list_images(data_dir / name)
    except UsageError as error:
        raise UsageError(f"--dataset={dataset}: {error}") from error
    return decoded_folder(listing, name, data_dir, reporter, dataset=dataset, crop_padding=crop_padding, flip=flip)


def decoded_folder(
    listing: Listing, name: str, data_dir: Path, reporter: Reporter, *, dataset: str, crop_padding: int = 4,
    flip: bool = True,
) -> Dataset:  # fmt: skip
    """The images of a listing; arguments as of :func:`read_image_folder`."""
    cache = cache_of(data_dir, name)
    try:
        images = read_cache(cache, listing.cache_key)
        if images is None:
            images = torch.from_numpy(decode(listing, name, reporter))
            write_cache(cache, listing.cache_key, images, reporter)
    except UsageError as error:
        raise UsageError(f"--dataset={dataset}: {error}") from error
    labels, end = torch.tensor(listing.labels), listing.train_size
    dataset_read = Dataset.from_arrays(
        images[:end], labels[:end], images[end:], labels[end:], listing.class_names,
        crop_padding=crop_padding, flip=flip,
    )  # fmt: skip
    return replace(dataset_read, remarks=listing.remarks)


def list_images(folder: Path, splits: Sequence[str] = SPLITS) -> Listing:
    """Finds the images of both splits; files that are no images by their name are passed over, and counted."""
    classes = {split: subdirectories(folder / split) for split in splits}
    train, test = splits
    if classes[train] != classes[test]:
        odd = sorted(set(classes[train]) ^ set(classes[test]))[0]
        raise UsageError(f"{folder}: {train} and {test} must have the same classes, but only one has {odd!r}")
    passed_over: Counter[str] = Counter()
    found = [{name: images_in(folder / split / name, passed_over) for name in classes[split]} for split in splits]
    for split in splits:
        passed_over.update("beside the classes" for path in (folder / split).iterdir() if is_visible_file(path))
    links = [path for split in splits for name in classes[split] if leads_out(path := folder / split / name, folder)]
    return listing_of(folder, found[0], found[1], remarks=(*counts(passed_over), *linked(links)))


def images_in(directory: Path, passed_over: "Counter[str]") -> list[str]:
    """The paths of the images of a class, sorted; other files are counted, by what they are."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_image(entry):
                found.append(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                below = sum(is_visible_file(Path(top, name)) for top, _, names in os.walk(entry.path) for name in names)
                passed_over["in subdirectories"] += below
            elif not entry.name.startswith("."):
                passed_over[Path(entry.name).suffix.lower() or "without a suffix"] += 1
    if not found:
        raise UsageError(f"{directory}: no images in it (files in {' '.join(SUFFIXES)})")
    return sorted(found)


def is_visible_file(path: Path) -> bool:
    """Whether it is a file that is not hidden."""
    return path.is_file() and not path.name.startswith(".")


def counts(passed_over: "Counter[str]") -> list[str]:
    """What was passed over, as a remark; none if nothing was."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(passed_over.items()) if number)
    return [f"{passed_over.total()} files were passed over ({kinds}); read are {' '.join(SUFFIXES)}"] if kinds else []


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a directory is one outside ``folder`` by a link."""
    return not path.resolve().is_relative_to(folder.resolve())


def linked(paths: Sequence[Path]) -> list[str]:
    """The remark on classes that lie elsewhere; none if there are none."""
    if not paths:
        return []
    return [f"{len(paths)} class directories are links to elsewhere (the first: {paths[0]} is {paths[0].resolve()})"]


def listing_of(
    folder: Path, train: Mapping[str, Sequence[str]], test: Mapping[str, Sequence[str]], *others: str,
    remarks: Sequence[str] = (),
) -> Listing:  # fmt: skip
    """The listing of the paths of training and test images by class, all of them in ``folder``.

    ``others`` are files that say something about them. Raises ``UsageError`` if a file is missing, or no regular one: a
    pipe or a device might be read for ever.
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


def subdirectories(directory: Path) -> list[str]:
    """The names of the classes, sorted."""
    if not directory.is_dir():
        raise UsageError(f"{directory} is missing; images are looked for in {directory}/CLASS/")
    visible = (path for path in directory.iterdir() if not path.name.startswith("."))
    names = sorted(path.name for path in visible if path.is_dir())
    if not names:
        raise UsageError(f"{directory}: no class in it; images are looked for in {directory}/CLASS/")
    return names


def is_image(entry: "os.DirEntry[str]") -> bool:
    """Whether a name is that of an image; hidden files (macOS leaves some beside images) are not."""
    return entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".")


def decode(listing: Listing, name: str, reporter: Reporter) -> np.ndarray:
    """All images, (N, H, W, C), uint8.

    In one thread: more made it no faster, since small images spend their time in Python, and processes would
    need most of the time they save for importing PyTorch.
    """
    size = len(listing.paths)
    first, _ = decode_one(listing.paths[0])
    images = np.empty((size, *first.shape), dtype=np.uint8)
    all_gray = True
    with reporter.progress(f"Decoding {name}", size, "images") as advance:
        for index, path in enumerate(listing.paths):
            image, gray = decode_one(path)
            if image.shape != first.shape:
                raise UsageError(
                    f"{path} has {image.shape[1]}x{image.shape[0]} pixels, but {listing.paths[0]} has "
                    f"{first.shape[1]}x{first.shape[0]}; all images must be of one size"
                )
            images[index] = image
            all_gray &= gray
            if (index + 1) % ADVANCE_EVERY == 0 or index + 1 == size:
                advance(index % ADVANCE_EVERY + 1)
    return np.ascontiguousarray(images[..., :1]) if all_gray else images


def decode_one(path: str) -> tuple[np.ndarray, bool]:
    """An image as RGB (H, W, 3), uint8, and whether it was gray; unreadable: ``UsageError``."""
    image, gray = read_image(path, PIXELS_LIMIT)
    return np.asarray(image), gray


def read_image(path: str, most_pixels: int) -> tuple[Image.Image, bool]:
    """An image as RGB, turned as its EXIF data say, and whether it was gray.

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
    """Width and height of an image as it is turned, by its header; None if that cannot be read."""
    try:
        with Image.open(path) as image:
            asked = image.format != "PNG" or "exif" in image.info  # others are decoded by the question
            turned = asked and image.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
            return (image.height, image.width) if turned else image.size
    except Exception:  # damaged files make PIL raise nearly anything
        return None
