"""From the hyperparameters to the data."""

from pathlib import Path

from foundations.errors import UsageError
from foundations.reporting import Reporter
from training.data.arrays import read_arrays
from training.data.dataset import Dataset
from training.data.hparams import DataHparams
from training.data.image_folder import read_image_folder
from training.data.registry import Loader, datasets
from training.data.transformations import transform

FOLDER = "image_folder"
ARRAYS = "arrays"


def load(hparams: DataHparams, data_dir: Path, reporter: Reporter) -> Dataset:
    """The data set that ``hparams`` name, its training set transformed as they say.

    Raises:
        UsageError: there is no such data set, or its files are absent, unreadable or do not fit each other.
    """
    return transform(find_loader(hparams.dataset)(data_dir, reporter), hparams)


def find_loader(name: str) -> Loader:
    """The function that loads a registered data set, ``image_folder:<name>`` or ``arrays:<file>``; reads nothing yet.

    Raises:
        UsageError: there is no data set of this name.
    """
    if name == FOLDER or name.startswith(f"{FOLDER}:"):
        folder = name.removeprefix(FOLDER).removeprefix(":")
        if folder in ("", "..") or Path(folder).name != folder or not folder.isprintable():
            raise UsageError(
                f"--dataset={name}: expected {FOLDER}:NAME, where NAME/train/CLASS/ and NAME/test/CLASS/ "
                "lie in --data_dir"
            )
        return lambda data_dir, reporter: read_image_folder(folder, data_dir, reporter, dataset=name)
    if name == ARRAYS or name.startswith(f"{ARRAYS}:"):
        file = name.removeprefix(ARRAYS).removeprefix(":")
        if not file or not file.isprintable():
            raise UsageError(f"--dataset={name}: expected {ARRAYS}:FILE.npz, a file in --data_dir or an absolute path")
        return lambda data_dir, reporter: read_arrays(file, data_dir)
    try:
        return datasets.get(name)
    except UsageError as error:
        raise UsageError(f"{error}, {FOLDER}:NAME, {ARRAYS}:FILE.npz") from None
