"""From a name to a data set."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foundations.errors import UsageError
from foundations.registry import Registry
from foundations.reporting import Reporter
from foundations.torchvision_import import import_torchvision
from training.data import DataHparams, Dataset, datasets, load, loading, open_data


def test_the_data_sets_that_come_with_the_framework():
    assert {"cifar10", "cifar100", "mnist", "fashion_mnist", "digits"} <= set(datasets.names())


def test_an_unknown_name_gets_near_misses_and_the_valid_ones():
    with pytest.raises(UsageError) as caught:
        load(DataHparams(dataset="cifer10"), Path("nowhere"), Reporter())
    message = str(caught.value)
    assert message.startswith("--dataset=cifer10: unknown data set (did you mean 'cifar10'")
    assert "digits" in message
    assert message.endswith("image_folder:NAME, arrays:FILE.npz")


@pytest.mark.parametrize("name", ["image_folder", "image_folder:", "image_folder:a/b", "image_folder:.."])
def test_an_image_folder_needs_the_name_of_a_folder(name):
    with pytest.raises(UsageError, match=f"^--dataset={name}: expected image_folder:NAME"):
        load(DataHparams(dataset=name), Path("nowhere"), Reporter())


def test_a_data_set_of_ones_own_is_a_function(monkeypatch):
    own: Registry = Registry("data set", "dataset")
    monkeypatch.setattr(loading, "datasets", own)

    @own.register("stripes")
    def stripes(directory: Path, reporter: Reporter) -> Dataset:
        images = np.zeros((4, 6, 6), dtype=np.uint8)
        return Dataset.from_arrays(images, [0, 1, 0, 1], images, [0, 1, 0, 1], flip=False)

    dataset = load(DataHparams(dataset="stripes", subsample_fraction=0.5), Path("nowhere"), Reporter())
    assert dataset.train.labels.tolist() == [0, 1]


def test_torchvision_imports_whatever_its_operators_do():
    torchvision = import_torchvision()
    assert import_torchvision() is torchvision
    assert torchvision.datasets.CIFAR10.base_folder == "cifar-10-batches-py"


def test_a_class_without_training_images_is_said(monkeypatch, listener):
    own: Registry = Registry("data set", "dataset")
    monkeypatch.setattr(loading, "datasets", own)
    images = np.zeros((2, 6, 6), dtype=np.uint8)
    own.register("gap")(lambda directory, reporter: Dataset.from_arrays(images, [0, 2], images, [0, 2]))
    open_data(DataHparams(dataset="gap"), Path("nowhere"), listener, torch.device("cpu"))
    assert "--dataset=gap: classes without a training image: 1 (the first: '1')" in listener.warned
