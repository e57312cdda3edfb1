"""Data sets by name. A plug-in adds one with ``@datasets.register("my_data")``."""

from collections.abc import Callable
from pathlib import Path

from foundations.registry import Registry
from foundations.reporting import Reporter
from training.data.dataset import Dataset
from training.data.image_files import ImageFiles

Loader = Callable[[Path, Reporter], Dataset | ImageFiles]

datasets: Registry[Loader] = Registry("data set", "dataset")
"""Functions from the directory of all data sets and a reporter to a ``Dataset``, or to ``ImageFiles``."""
