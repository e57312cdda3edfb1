"""Data sets, their transformations, and the batches made of them on the device.

A plug-in adds a data set of its own:

    @datasets.register("my_data")
    def my_data(directory: Path, reporter: Reporter) -> Dataset:
        return Dataset.from_arrays(train_images, train_labels, test_images, test_labels)

Importing the package registers the data sets that come with it.
"""

from training.data import digits, image_folder, torchvision_sets  # noqa: F401  they register themselves
from training.data.batches import Batch, EpochNoise, Pair, TrainingData
from training.data.dataset import Dataset, ImageFiles, Split, datasets
from training.data.device import DeviceData
from training.data.hparams import DataHparams
from training.data.loading import find_loader, load, open_data
from training.data.streaming import StreamedData

__all__ = [
    "Batch", "DataHparams", "Dataset", "DeviceData", "EpochNoise", "ImageFiles", "Pair", "Split",
    "StreamedData", "TrainingData", "datasets", "find_loader", "load", "open_data",
]  # fmt: skip
