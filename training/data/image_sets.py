"""Larger sets of images: ImageNet, Tiny ImageNet, and folders of one's own."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from foundations.errors import UsageError
from foundations.reporting import Reporter
from training.data.dataset import Dataset
from training.data.image_files import ImageFiles, from_listing, read_image_files, stay_in_files
from training.data.image_folder import (
    Listing,
    counts,
    decoded_folder,
    images_in,
    is_cached,
    list_images,
    listing_of,
    subdirectories,
)  # fmt: skip
from training.data.registry import datasets

ON_THE_DEVICE = 4 << 30
"""Bytes of decoded images up to which a folder is kept on the device."""
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
    try:
        converted = data_dir / "tiny_imagenet"
        listing = list_images(converted, ("train", "val")) if converted.is_dir() else list_tiny(data_dir / TINY)
    except UsageError as error:
        raise UsageError(f"--dataset=tiny_imagenet: {error}") from error
    return decoded_folder(listing, "tiny_imagenet", data_dir, reporter, dataset="tiny_imagenet")


def list_tiny(folder: Path) -> Listing:
    """What lies in the unpacked archive: ``train/<class>/images/``, ``val/images/`` and ``val/val_annotations.txt``.

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
    return listing_of(folder, train, test, str(annotations), remarks=counts(passed_over))


def read_folder(name: str, data_dir: Path, reporter: Reporter, *, dataset: str) -> Dataset | ImageFiles:
    """The images of ``<data_dir>/<name>/{train,test}/<class>/``.

    Those of one size are decoded once and kept on the device, if they take no more than ``ON_THE_DEVICE`` bytes;
    others are streamed.

    Raises:
        UsageError: a directory is absent or empty, the classes of the two splits differ, an image of those that are
            decoded is unreadable, or few are of another size; nothing is written then.
    """
    try:
        listing = list_images(data_dir / name)
        streamed = not is_cached(data_dir, name, listing.cache_key) and stay_in_files(listing, ON_THE_DEVICE)
    except UsageError as error:
        raise UsageError(f"--dataset={dataset}: {error}") from error
    if streamed:
        found = from_listing(listing)
        what = f"images of several sizes, or many: they are streamed, as parts of {found.size}x{found.size} pixels"
        return replace(found, remarks=(what, *found.remarks))
    return decoded_folder(listing, name, data_dir, reporter, dataset=dataset)
