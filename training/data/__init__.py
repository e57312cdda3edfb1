"""Data sets, their transformations, and the batches made of them on the device.

A plug-in adds a data set of its own:

    @datasets.register("my_data")
    def my_data(directory: Path, reporter: Reporter) -> Dataset:
        return Dataset.from_arrays(train_images, train_labels, test_images, test_labels)

Importing the package registers the data sets that come with it.
"""

from training.data import digits, torchvision_sets  # noqa: F401  they register themselves
from training.data.dataset import Dataset, Split
from training.data.device import DeviceData, EpochPlan
from training.data.hparams import DataHparams
from training.data.loading import find_loader, load
from training.data.protocol import Batch, EpochNoise, Pair, TrainingData
from training.data.registry import datasets

__all__ = [
    "Batch", "DataHparams", "Dataset", "DeviceData", "EpochNoise", "EpochPlan", "Pair", "Split", "TrainingData",
    "datasets", "find_loader", "load",
]  # fmt: skip
