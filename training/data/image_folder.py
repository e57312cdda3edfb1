"""Data sets that are folders of images: ImageNet, Tiny ImageNet and one's own, decoded only once or streamed."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from foundations.disk import atomic_write
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.store import UNREADABLE
from training.data.dataset import Dataset, ImageFiles, datasets
from training.data.image_files import (
    Listing,
    counted,
    images_in,
    list_images,
    listing_of,
    read_image,
    read_image_files,
    stay_in_files,
    subdirectories,
)  # fmt: skip

ON_THE_DEVICE = 4 << 30
"""Bytes of decoded images up to which a folder is kept on the device."""
PIXELS_LIMIT = 1 << 24
"""Pixels of an image that is decoded; a small file may claim any number."""
ADVANCE_EVERY = 500
TINY = "tiny-imagenet-200"
"""The folder that Tiny ImageNet's archive unpacks to."""


@datasets.register("imagenet")
def imagenet(data_dir: Path, reporter: Reporter) -> ImageFiles:
    """ILSVRC 2012 (Russakovsky et al. 2015, arXiv 1409.0575), from ``imagenet/{train,val}/<class>/``; streamed."""
    return read_image_files(data_dir / "imagenet", "imagenet", ("train", "val"), reporter)


@datasets.register("tiny_imagenet")
def tiny_imagenet(data_dir: Path, reporter: Reporter) -> Dataset:
    """200 classes of ImageNet at 64x64 pixels (Le & Yang 2015), kept on the device.

    From ``tiny-imagenet-200/``, as its archive unpacks, with the labelled images of ``val/`` as the test set; or from
    ``tiny_imagenet/{train,val}/<class>/``.
    """
    converted = data_dir / "tiny_imagenet"
    listing = list_images(converted, ("train", "val")) if converted.is_dir() else list_tiny(data_dir / TINY)
    return decoded_folder(listing, "tiny_imagenet", data_dir, reporter)


def list_tiny(folder: Path) -> Listing:
    """List the unpacked archive: ``train/<class>/images/``, ``val/images/`` and ``val/val_annotations.txt``.

    Raises:
        UsageError: a part of it is missing, or an image has no label.
    """
    annotations = folder / "val" / "val_annotations.txt"
    if not annotations.is_file():
        raise UsageError(
            f"{annotations} is missing. Unpack tiny-imagenet-200.zip into {folder.parent}, or put images into "
            f"{folder.parent / 'tiny_imagenet'}/train/CLASS/ and val/CLASS/"
        )
    lines = [line.split("\t")[:2] for line in annotations.read_text(encoding="utf-8").splitlines() if line.strip()]
    by_class: dict[str, list[str]] = {}
    for entry in lines:
        if len(entry) != 2:
            raise UsageError(f"{annotations}: expected an image, a tab and its class on each line")
        by_class.setdefault(entry[1], []).append(str(folder / "val" / "images" / entry[0]))
    names = subdirectories(folder / "train")
    if names != sorted(by_class):
        raise UsageError(f"{annotations} has other classes than {folder / 'train'}")
    passed_over: Counter[str] = Counter()
    train = {name: images_in(folder / "train" / name / "images", passed_over) for name in names}
    test = {name: sorted(by_class[name]) for name in names}
    return listing_of(folder, train, test, str(annotations), remarks=counted(passed_over))


def read_folder(name: str, data_dir: Path, reporter: Reporter) -> Dataset | ImageFiles:
    """Return the images of ``<data_dir>/<name>/{train,test}/<class>/``, classes in alphabetical order.

    Those of one size are decoded once and kept on the device, if they take no more than ``ON_THE_DEVICE`` bytes;
    others are streamed.

    Raises:
        UsageError: a directory is absent or empty, the classes of the two splits differ, an image of those that are
            decoded is unreadable, or few are of another size; nothing is written then.
    """
    listing = list_images(data_dir / name)
    images = read_cache(cache_of(data_dir, name), listing.cache_key)
    if images is not None or not stay_in_files(listing, ON_THE_DEVICE):
        return decoded_folder(listing, name, data_dir, reporter, images=images)
    found = listing.as_files()
    what = f"images of several sizes, or many: they are streamed, as parts of {found.size}x{found.size} pixels"
    return replace(found, remarks=(what, *found.remarks))


def decoded_folder(
    listing: Listing, name: str, data_dir: Path, reporter: Reporter, *, crop_padding: int = 4, flip: bool = True,
    images: Tensor | None = None,
) -> Dataset:  # fmt: skip
    """Return the images of a listing, all of one size, decoded.

    They stay gray if all of them are, else all become RGB. They are kept in ``<data_dir>/<name>.cache.safetensors`` and
    read from there until a file changes; ``images`` are those of the cache, if it has been read already.

    Raises:
        UsageError: an image is unreadable or of another size; nothing is written then.
    """
    cache = cache_of(data_dir, name)
    if images is None:
        images = read_cache(cache, listing.cache_key)
    if images is None:
        images = decode(listing, name, reporter)
        try:
            with atomic_write(cache) as temporary:
                save_file({"images": images}, temporary, metadata={"source": listing.cache_key})
        except (OSError, SafetensorError) as error:
            reporter.warn(f"The decoded images cannot be kept in {cache} ({error}); they are decoded each time.")
    labels, end = torch.tensor(listing.labels), listing.train_size
    found = Dataset.from_arrays(
        images[:end], labels[:end], images[end:], labels[end:], listing.class_names,
        crop_padding=crop_padding, flip=flip,
    )  # fmt: skip
    return replace(found, remarks=listing.remarks)


def cache_of(data_dir: Path, name: str) -> Path:
    return data_dir / f"{name}.cache.safetensors"


def read_cache(path: Path, source: str) -> Tensor | None:
    """Return the images in a cache; None if there is no such file, it is damaged, or they are not of ``source``."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("source") != source:
                return None
            images: Tensor = file.get_tensor("images")
            return images
    except (OSError, *UNREADABLE):
        return None


def decode(listing: Listing, name: str, reporter: Reporter) -> Tensor:
    """Return all images, (N, H, W, C), uint8.

    In one thread: more made it no faster, since small images spend their time in Python, and processes would
    need most of the time they save for importing PyTorch.
    """
    size = len(listing.paths)
    width, height = read_image(listing.paths[0], PIXELS_LIMIT)[0].size
    images = np.empty((size, height, width, 3), dtype=np.uint8)
    all_gray = True
    with reporter.progress(f"Decoding {name}", size, "images") as advance:
        for index, path in enumerate(listing.paths):
            image, gray = read_image(path, PIXELS_LIMIT)
            if image.size != (width, height):
                raise UsageError(
                    f"{path} has {image.width}x{image.height} pixels, but {listing.paths[0]} has "
                    f"{width}x{height}; all images must be of one size"
                )
            images[index] = np.asarray(image)
            all_gray &= gray
            if (index + 1) % ADVANCE_EVERY == 0 or index + 1 == size:
                advance(index % ADVANCE_EVERY + 1)
    return torch.from_numpy(np.ascontiguousarray(images[..., :1]) if all_gray else images)
