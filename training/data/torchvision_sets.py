"""CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST, read and downloaded by torchvision."""

import contextlib
import http.client
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundations.errors import UsageError, first_line
from foundations.reporting import Reporter
from foundations.torchvision_import import import_torchvision
from training.data.dataset import Dataset, datasets
from training.data.image_files import list_images
from training.data.image_folder import decoded_folder

NETWORK_TIMEOUT = 30  # seconds


@dataclass(frozen=True)
class Source:
    """One of torchvision's data sets.

    Args:
        name: of the data set and of its image folder.
        cls: torchvision's class.
        files: where that class looks for its files.
        crop_padding: see ``Dataset``.
        flip: see ``Dataset``.
    """

    name: str
    cls: str
    files: str
    crop_padding: int
    flip: bool

    def load(self, directory: Path, reporter: Reporter) -> Dataset:
        """Load from torchvision's files, else from a folder of images, else from the network."""
        files, folder = directory / self.files, directory / self.name
        if not files.is_dir():
            if (folder / "train").is_dir() or (folder / "test").is_dir():
                return decoded_folder(
                    list_images(folder), self.name, directory, reporter, crop_padding=self.crop_padding, flip=self.flip
                )
            self.download(directory, reporter)
        return self.read(directory)

    def read(self, directory: Path) -> Dataset:
        """Read torchvision's files. CIFAR's are pickles; only those with the right MD5 sum are opened."""
        try:
            train, test = (self.torchvision(directory, train=train) for train in (True, False))
        except Exception as error:  # whatever parsing a damaged file raises
            raise UsageError(
                f"--dataset={self.name}: the files in {directory / self.files} are damaged or incomplete "
                f"({first_line(error)}). Delete that directory, and they are downloaded again."
            ) from error
        return Dataset.from_arrays(
            train.data, train.targets, test.data, test.targets, train.classes,
            crop_padding=self.crop_padding, flip=self.flip,
        )  # fmt: skip

    def download(self, directory: Path, reporter: Reporter) -> None:
        """Fetch the files; they appear in ``directory`` when they are complete, or nothing does."""
        reporter.say(f"Downloading {self.name} to {directory}")
        existing = next(path for path in (directory, *directory.parents) if path.is_dir())
        try:
            with (
                tempfile.TemporaryDirectory(prefix=".download-", dir=existing) as temporary,
                network_timeout(NETWORK_TIMEOUT),
            ):
                self.torchvision(Path(temporary), train=True, download=True)
                target = directory / self.files
                target.parent.mkdir(parents=True, exist_ok=True)
                (Path(temporary) / self.files).rename(target)
        except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
            raise UsageError(
                f"--dataset={self.name}: not in {directory}, and the download failed ({first_line(error)}). "
                f"Put {self.files}/ (torchvision's files) or images as {self.name}/train/CLASS/ and "
                f"{self.name}/test/CLASS/ into {directory}, or take the bundled --dataset=digits"
            ) from error

    def torchvision(self, directory: Path, **options: Any) -> Any:
        return getattr(import_torchvision().datasets, self.cls)(root=directory, **options)


@contextlib.contextmanager
def network_timeout(seconds: float) -> Iterator[None]:
    """Inside, a network that swallows packets is not waited for for ever; torchvision takes the default only."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


# MNIST is not augmented, as is usual for it: its digits are centred, and mirrored digits are not digits. The
# clothes of Fashion-MNIST may be shifted, but its shoes all point one way.
SOURCES = (
    Source("cifar10", "CIFAR10", "cifar-10-batches-py", crop_padding=4, flip=True),
    Source("cifar100", "CIFAR100", "cifar-100-python", crop_padding=4, flip=True),
    Source("mnist", "MNIST", "MNIST/raw", crop_padding=0, flip=False),
    Source("fashion_mnist", "FashionMNIST", "FashionMNIST/raw", crop_padding=4, flip=False),
)
for source in SOURCES:
    datasets.register(source.name)(source.load)


def is_there(name: str, directory: Path) -> bool:
    """Return whether a data set lies in the directory of all data sets; ``digits`` always does."""
    known = {source.name: source for source in SOURCES}
    if name.startswith("arrays:"):
        return (directory / name.removeprefix("arrays:")).is_file()
    if name not in known:
        return name in datasets
    return (directory / known[name].files).is_dir() or (directory / name / "train").is_dir()
