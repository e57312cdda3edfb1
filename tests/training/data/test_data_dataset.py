"""What a data set knows of itself."""

import numpy as np
import pytest
import torch

from foundations.errors import UsageError
from models.registry import ImageShape
from training.data import Dataset


def two_images(**options) -> Dataset:
    """Two training images of 1x2 coloured pixels, one test image."""
    train = np.array([[[[0, 255, 7], [0, 255, 7]]], [[[255, 255, 7], [255, 0, 7]]]], dtype=np.uint8)
    return Dataset.from_arrays(train, [0, 1], train[:1], [1], **options)


def test_shape_is_what_a_model_needs():
    assert two_images().shape == ImageShape(channels=3, height=1, width=2, classes=2)


def test_images_without_channels_are_gray():
    images = torch.zeros(3, 4, 5, dtype=torch.uint8)
    assert Dataset.from_arrays(images, [0, 1, 2], images, [0, 1, 2]).shape == ImageShape(1, 4, 5, 3)


def test_mean_and_std_of_each_channel_by_hand():
    dataset = two_images()
    # Red: 0, 0, 255, 255. Green: 255, 255, 255, 0. Blue: always 7, so its std is taken as 1.
    assert dataset.mean == pytest.approx((1 / 2, 3 / 4, 7 / 255), abs=1e-15)
    assert dataset.std == pytest.approx((1 / 2, 3**0.5 / 4, 1), abs=1e-15)


def test_class_names_default_to_the_labels():
    assert two_images().class_names == ("0", "1")
    assert two_images(class_names=["cat", "dog", "fox"]).classes == 3


def test_fingerprint_changes_with_a_pixel_a_label_and_the_shape():
    images, labels = np.zeros((2, 2, 3, 1), np.uint8), np.array([0, 1])
    one_pixel, one_label = images.copy(), np.array([1, 1])
    one_pixel[1, 0, 0, 0] = 1
    variants = [
        (images, labels, images, labels),
        (one_pixel, labels, images, labels),
        (images, labels, one_pixel, labels),
        (images, one_label, images, labels),
        (images, labels, images, one_label),
        (images.reshape(2, 3, 2, 1), labels, images.reshape(2, 3, 2, 1), labels),
    ]
    fingerprints = [Dataset.from_arrays(*arrays).fingerprint for arrays in variants]
    assert len(set(fingerprints)) == len(variants)
    assert Dataset.from_arrays(*variants[0]).fingerprint == fingerprints[0]


@pytest.mark.parametrize(
    ("train_images", "train_labels", "names", "message"),
    [
        (np.zeros((2, 3, 3), np.float32), [0, 1], None, "must be uint8"),
        (np.zeros((0, 3, 3), np.uint8), [], None, r"not torch.uint8 of shape \(0, 3, 3, 1\)"),
        (np.zeros((2, 3), np.uint8), [0, 1], None, r"not torch.uint8 of shape \(2, 3\)"),
        (np.zeros((2, 3, 3), np.uint8), [0, 1, 1], None, "one whole number for each of 2 images"),
        (np.zeros((2, 3, 3), np.uint8), [0.0, 1.0], None, "one whole number for each of 2 images"),
        (np.zeros((2, 4, 3), np.uint8), [0, 1], None, "differ in size"),
        (np.zeros((2, 3, 3), np.uint8), [0, 2], ["a", "b"], "must lie in 0 to 1"),
        (np.zeros((2, 3, 3), np.uint8), [0, -1], ["a", "b"], "must lie in 0 to 1"),
        (np.zeros((2, 3, 32, 32), np.uint8), [0, 1], None, r"looks like \(N, C, H, W\); expected \(N, H, W, C\)"),
    ],
)
def test_arrays_that_are_no_images_are_refused(train_images, train_labels, names, message):
    test = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(UsageError, match=message):
        Dataset.from_arrays(train_images, train_labels, test, [0, 1], names)


def test_labels_from_one_do_not_make_an_empty_class():
    images = np.zeros((2, 3, 3), np.uint8)
    with pytest.raises(UsageError, match="go from 1 to 2, and no image has the label 0"):
        Dataset.from_arrays(images, [1, 2], images, [2, 1])
    assert Dataset.from_arrays(images, [1, 2], images, [2, 1], ["none", "cat", "dog"]).classes == 3


def test_features_with_the_channels_last_are_refused():
    with pytest.raises(UsageError, match=r"looks like \(N, height, width, channels\)"):
        Dataset.from_features(np.zeros((2, 8, 8, 3)), [0, 1], np.zeros((2, 8, 8, 3)), [0, 1])
