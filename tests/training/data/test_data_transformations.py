"""Subsamples and false labels."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foundations.errors import UsageError
from foundations.reporting import Reporter
from training.data import DataHparams, Dataset, datasets, load
from training.data.transformations import draw_balanced, draw_stratified


def transformed(**hparams) -> Dataset:
    """The digits, changed."""
    return load(DataHparams(dataset="digits", **hparams), Path("nowhere"), Reporter())


def whole() -> Dataset:
    return datasets.get("digits")(Path("nowhere"), Reporter())


def test_nothing_asked_nothing_changed():
    assert torch.equal(transformed().train.images, whole().train.images)
    assert torch.equal(transformed().train.labels, whole().train.labels)


def test_a_subsample_keeps_the_proportions_of_the_classes():
    full, part = whole(), transformed(subsample_fraction=0.25)
    assert len(part.train) == round(0.25 * len(full.train))
    difference = part.train.labels.bincount() - 0.25 * full.train.labels.bincount()
    assert difference.abs().max() <= 1


def test_a_subsample_is_of_the_training_images_in_their_order():
    full, part = whole(), transformed(subsample_fraction=0.02)
    same = (full.train.images[None] == part.train.images[:, None]).flatten(2).all(2)
    places = [row.nonzero()[0].item() for row in same]
    assert places == sorted(places)
    assert torch.equal(full.train.labels[places], part.train.labels)


def test_a_tiny_subsample_has_one_image():
    assert len(transformed(subsample_fraction=1e-6).train) == 1


def test_random_labels_are_the_given_fraction_and_uniform():
    full, noisy = whole(), transformed(random_labels_fraction=1.0)
    changed = (full.train.labels != noisy.train.labels).double().mean().item()
    assert changed == pytest.approx(0.9, abs=0.03)  # a tenth of the random labels is right by chance
    assert noisy.train.labels.bincount().min() > 100
    few = transformed(random_labels_fraction=0.1)
    changed = (full.train.labels != few.train.labels).sum().item()
    assert 0.08 * len(full.train) < changed <= 0.1 * len(full.train)


def test_both_together_are_counted_in_the_subsample():
    clean = transformed(subsample_fraction=0.5)
    noisy = transformed(subsample_fraction=0.5, random_labels_fraction=0.2)
    assert torch.equal(clean.train.images, noisy.train.images)
    changed = (clean.train.labels != noisy.train.labels).sum().item()
    assert 0.15 * len(clean.train) < changed <= 0.2 * len(clean.train)


def test_the_seed_decides():
    first, again, other = (
        transformed(subsample_fraction=0.3, random_labels_fraction=0.5, transformation_seed=seed).train
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)


def test_test_set_normalization_and_fingerprint_stay():
    full, part = whole(), transformed(subsample_fraction=0.1, random_labels_fraction=0.5)
    assert torch.equal(full.test.images, part.test.images)
    assert torch.equal(full.test.labels, part.test.labels)
    assert (full.mean, full.std, full.fingerprint) == (part.mean, part.std, part.fingerprint)


def test_global_random_numbers_are_left_alone():
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    transformed(subsample_fraction=0.5, random_labels_fraction=0.5)
    assert torch.equal(torch_before, torch.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(
    "wrong",
    [
        {"subsample_fraction": 0.0},
        {"subsample_fraction": 1.5},
        {"random_labels_fraction": -0.1},
        {"batch_size": 0},
        {"transformation_seed": -1},
    ],
)
def test_values_out_of_range_are_refused(wrong):
    (name, value), *_ = wrong.items()
    with pytest.raises(UsageError, match=f"--{name}={value}: expected a number in"):
        DataHparams(**wrong)


def test_balanced_and_stratified_draws_of_uneven_classes():
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    generator = torch.Generator().manual_seed(0)
    assert labels[draw_stratified(labels, 10, generator)].bincount().tolist() == [6, 3, 1]
    assert labels[draw_balanced(labels, 15, generator)].bincount().tolist() == [5, 5, 5]
    assert labels[draw_balanced(labels, 40, generator)].bincount().tolist() == [15, 15, 10]
    assert draw_balanced(labels, 100, generator).sort().values.tolist() == list(range(100))
