"""The bundled data set: 1,797 handwritten digits of 8x8 pixels (Alpaydin & Kaynak 1998; see digits.md)."""

from pathlib import Path

import numpy as np

from foundations.reporting import Reporter
from training.data.dataset import Dataset, datasets

FILE = Path(__file__).with_name("digits.npz")
TEST_EVERY = 5


@datasets.register("digits")
def digits(directory: Path, reporter: Reporter) -> Dataset:
    """The bundled digits (UCI, 8x8 pixels), their values 0 to 16 stretched to 0 to 255.

    The source has no split of its own. Here every fifth image of each class, in the order of the file, is a
    test image: 1,442 and 355. (Every fifth regardless of class makes uneven classes: the writers wrote the
    digits in turn.) Eight pixels are too few to crop, and mirrored digits are not digits: no augmentation.
    """
    with np.load(FILE) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    images = np.rint(images * (255 / 16)).astype(np.uint8)
    test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        test[np.flatnonzero(labels == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return Dataset.from_arrays(images[~test], labels[~test], images[test], labels[test], crop_padding=0, flip=False)
