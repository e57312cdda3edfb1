"""CIFAR and MNIST from small files in their own formats. Nothing here touches the network."""

import hashlib
import pickle
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.torchvision_import import import_torchvision
from training.data import DataHparams, Dataset, load

NAMES = ["airplane", "automobile", "bird"]


def load_named(name: str, data_dir: Path) -> Dataset:
    return load(DataHparams(dataset=name), data_dir, Reporter())


def cifar_images(size: int, seed: int) -> np.ndarray:
    """(N, 3072): planes of red, green and blue, as in the files."""
    return np.random.default_rng(seed).integers(0, 256, (size, 3072), dtype=np.uint8)


def write_pickle(path: Path, entry: dict) -> str:
    """Writes ``entry``; returns the MD5 sum of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(entry, protocol=2))
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar10(root: Path) -> dict[str, str]:
    """Five training batches of two images and a test batch; returns the MD5 sums by file name."""
    folder = root / "cifar-10-batches-py"
    sums = {}
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        labels = [number % 3, (number + 1) % 3]
        sums[name] = write_pickle(folder / name, {"data": cifar_images(2, number), "labels": labels})
    sums["batches.meta"] = write_pickle(folder / "batches.meta", {"label_names": NAMES})
    return sums


@pytest.fixture
def cifar10_class(tmp_path_factory, monkeypatch):
    """torchvision's class, told the MD5 sums of our small files."""
    sums = write_cifar10(tmp_path_factory.mktemp("sums"))
    cls = import_torchvision().datasets.CIFAR10
    monkeypatch.setattr(cls, "train_list", [[f"data_batch_{n}", sums[f"data_batch_{n}"]] for n in range(1, 6)])
    monkeypatch.setattr(cls, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": sums["batches.meta"]})
    return cls


def no_network(*args, **options):
    raise URLError("Name or service not known")


@pytest.fixture
def offline(monkeypatch):
    datasets = import_torchvision().datasets
    monkeypatch.setattr(datasets.cifar, "download_and_extract_archive", no_network)
    monkeypatch.setattr(datasets.mnist, "download_and_extract_archive", no_network)


def test_cifar10_from_its_batches(tmp_path, cifar10_class, offline):
    write_cifar10(tmp_path)
    dataset = load_named("cifar10", tmp_path)
    assert str(dataset.shape) == "3x32x32 with 3 classes"
    assert dataset.class_names == tuple(NAMES)
    assert dataset.train.labels.tolist() == [0, 1, 1, 2, 2, 0, 0, 1, 1, 2]
    expected = cifar_images(2, 5).reshape(2, 3, 32, 32).transpose(0, 2, 3, 1)
    assert torch.equal(dataset.test.images, torch.from_numpy(expected.copy()))
    assert (dataset.crop_padding, dataset.flip) == (4, True)


def test_a_damaged_batch_is_an_error_that_says_what_to_do(tmp_path, cifar10_class, offline):
    write_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py/data_batch_3").write_bytes(b"")
    with pytest.raises(UsageError, match=r"^--dataset=cifar10: .*cifar-10-batches-py are damaged .*Delete"):
        load_named("cifar10", tmp_path)


def test_cifar10_from_a_folder_of_images(tmp_path, offline):
    for split in ("train", "test"):
        for label, name in enumerate(NAMES):
            path = tmp_path / "cifar10" / split / name / "1.png"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (32, 32), (label, 0, 0)).save(path)
    dataset = load_named("cifar10", tmp_path)
    assert dataset.class_names == tuple(NAMES)
    assert dataset.train.images[:, 0, 0, 0].tolist() == dataset.train.labels.tolist() == [0, 1, 2]


def test_batches_go_before_images(tmp_path, cifar10_class, offline):
    write_cifar10(tmp_path)
    (tmp_path / "cifar10/train").mkdir(parents=True)
    assert len(load_named("cifar10", tmp_path).train) == 10


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist", "fashion_mnist"])
@pytest.mark.parametrize("exists", [True, False])
def test_without_data_and_network_it_says_what_to_put_where(tmp_path, offline, name, exists):
    data_dir = tmp_path / "some" / "data"
    if exists:
        data_dir.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError) as caught:
        load_named(name, data_dir)
    message = str(caught.value)
    assert message.startswith(f"--dataset={name}: not in {data_dir}, and the download failed (")
    assert f"{name}/train/CLASS/" in message
    assert "--dataset=digits" in message
    assert "\n" not in message
    assert sorted(tmp_path.rglob("*")) == before


def test_a_download_appears_when_it_is_complete(tmp_path, cifar10_class, monkeypatch):
    seen: list[Path] = []

    def fetch(url, root, filename, md5):
        write_cifar10(Path(root))
        seen.append(Path(root))
        assert not (tmp_path / "data/cifar-10-batches-py").exists()

    monkeypatch.setattr(import_torchvision().datasets.cifar, "download_and_extract_archive", fetch)
    for _ in range(2):
        assert len(load_named("cifar10", tmp_path / "data").train) == 10
    assert len(seen) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar-10-batches-py"]


def test_an_interrupted_download_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(url, root, **options):
        (Path(root) / "half.tar.gz").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(import_torchvision().datasets.cifar, "download_and_extract_archive", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_named("cifar100", tmp_path)
    assert list(tmp_path.iterdir()) == []


def write_idx(path: Path, array: np.ndarray) -> None:
    """MNIST's format: two zeros, type 8 (uint8), number of dimensions, the dimensions, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.mark.parametrize(("name", "folder", "padding"), [("mnist", "MNIST", 0), ("fashion_mnist", "FashionMNIST", 4)])
def test_mnist_and_fashion_mnist_from_their_files(tmp_path, offline, name, folder, padding):
    images = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
    labels = np.array([9, 0, 4], dtype=np.uint8)
    for prefix, size in (("train", 3), ("t10k", 2)):
        write_idx(tmp_path / folder / "raw" / f"{prefix}-images-idx3-ubyte", images[:size])
        write_idx(tmp_path / folder / "raw" / f"{prefix}-labels-idx1-ubyte", labels[:size])
    dataset = load_named(name, tmp_path)
    assert str(dataset.shape) == "1x28x28 with 10 classes"
    assert torch.equal(dataset.train.images[..., 0], torch.from_numpy(images))
    assert dataset.test.labels.tolist() == [9, 0]
    assert (dataset.crop_padding, dataset.flip) == (padding, False)


def test_damaged_mnist_files_are_an_error(tmp_path, offline):
    for prefix in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            path = tmp_path / "MNIST" / "raw" / f"{prefix}-{kind}-ubyte"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
    with pytest.raises(UsageError, match=r"^--dataset=mnist: the files in .*MNIST/raw are damaged"):
        load_named("mnist", tmp_path)
