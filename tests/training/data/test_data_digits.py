"""The bundled digits."""

from pathlib import Path

import numpy as np
import pytest

from foundations.reporting import Reporter
from training.data import Dataset, datasets
from training.data.digits import FILE


def digits() -> Dataset:
    return datasets.get("digits")(Path("nowhere"), Reporter())


def test_the_file_is_scikit_learns_data():
    reference = pytest.importorskip("sklearn.datasets").load_digits()
    with np.load(FILE) as arrays:
        np.testing.assert_array_equal(arrays["images"], reference.images)
        np.testing.assert_array_equal(arrays["labels"], reference.target)


def test_digits_have_a_fifth_of_each_class_for_the_test():
    dataset = digits()
    train, test = dataset.train.labels.bincount(), dataset.test.labels.bincount()
    assert (len(dataset.train), len(dataset.test)) == (1442, 355)
    assert ((train + test) // 5).tolist() == test.tolist()


def test_digits_use_the_whole_range_of_a_byte_and_are_not_augmented():
    dataset = digits()
    assert (dataset.train.images.min(), dataset.train.images.max()) == (0, 255)
    assert dataset.train.images.unique().numel() == 17
    assert (dataset.crop_padding, dataset.flip) == (0, False)
    assert str(dataset.shape) == "1x8x8 with 10 classes"


def test_the_fingerprint_of_the_digits_is_pinned():
    assert digits().fingerprint == "88e9219c2ad80ab3834febc6528fc4d9b99343e248d678ca4cd5d8f08ffe7b2b"
