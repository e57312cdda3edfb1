"""Data that are no images: features and labels in a .npz file."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.seeds import Seeds
from models.registry import ImageShape
from training.data import DataHparams, Dataset, DeviceData, load
from training.data.batches import EpochNoise

ARRAYS = {
    "x_train": np.array([[-1.0, 0.5], [3.0, 0.25], [0.0, 1.0]]),
    "y_train": np.array([0, 1, 0]),
    "x_test": np.array([[7.0, -2.0]]),
    "y_test": np.array([1]),
}


def loaded(path: Path, arrays: dict[str, np.ndarray] | None = None) -> DeviceData:
    """The data of a file, which is written first if its arrays are given."""
    if arrays is not None:
        np.savez(path, **arrays)
    hparams = DataHparams(dataset=f"arrays:{path.name}", batch_size=2)
    return DeviceData(load(hparams, path.parent, Reporter()), hparams, torch.device("cpu"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tiny.npz"


def test_features_arrive_as_they_are(file):
    data = loaded(file, ARRAYS)
    assert data.shape == ImageShape(channels=1, height=1, width=2, classes=2)
    [(inputs, labels), (last, _)] = data.evaluation_batches("train", batch_size=2)
    assert torch.equal(inputs, torch.tensor([[[[-1.0, 0.5]]], [[[3.0, 0.25]]]]))
    assert torch.equal(labels, torch.tensor([0, 1]))
    assert torch.equal(last, torch.tensor([[[[0.0, 1.0]]]]))
    assert data.normalization == {"mean": (0.0,), "std": (1.0,)}


def test_an_epoch_has_each_example_once_and_unchanged(file):
    data = loaded(file, ARRAYS)
    seeds = Seeds(1)
    noise = EpochNoise(seeds.generator("order"), seeds.generator("augmentation"))
    seen = torch.cat([data.fetch(batch)[0] for batch in data.batches(noise, 0, 2)])
    assert sorted(seen.flatten(1).tolist()) == sorted(ARRAYS["x_train"].tolist())


def test_what_a_network_does_in_place_leaves_the_data_alone(file):
    data = loaded(file, ARRAYS)
    for inputs, _ in data.evaluation_batches("train"):
        inputs.zero_()
    [(inputs, _)] = data.evaluation_batches("train")
    assert inputs.abs().sum() > 0


def test_pixels_for_synflow_go_from_the_smallest_to_the_largest_training_feature(file):
    data = loaded(file, ARRAYS)
    batches = data.pruning_batches(1, 3, torch.Generator())
    assert torch.cat(list(batches.pixels)).aminmax() == (0.0, 1.0)
    expected = (torch.tensor(ARRAYS["x_train"]).mean(0) + 1) / 4  # from -1 to 3
    assert torch.allclose(batches.mean_image, expected.float().view(1, 1, 2))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5,), (1, 1, 5)), ((3, 5), (3, 1, 5)), ((3, 4, 5), (3, 4, 5)), ((3, 4, 5, 2), (3, 4, 10))],
)
def test_features_of_any_shape_have_channels_height_and_width(shape, expected):
    features = torch.rand(2, *shape)
    dataset = Dataset.from_features(features, [0, 1], features, [0, 1])
    assert (dataset.shape.channels, dataset.shape.height, dataset.shape.width) == expected
    hparams = DataHparams()
    [(inputs, _)] = DeviceData(dataset, hparams, torch.device("cpu")).evaluation_batches("test")
    assert torch.equal(inputs, features.view(2, *expected))


def test_the_fingerprint_is_of_the_values(file):
    before = loaded(file, ARRAYS).fingerprint
    assert loaded(file, {**ARRAYS, "comment": np.array([3])}).fingerprint == before
    np.savez_compressed(file, **{name.capitalize(): array for name, array in ARRAYS.items()})  # X_train: scikit-learn's
    assert loaded(file).fingerprint == before
    assert loaded(file, {**ARRAYS, "x_test": ARRAYS["x_test"] + 1}).fingerprint != before


def test_an_absolute_path_is_one(file, tmp_path):
    np.savez(file, **ARRAYS)
    assert load(DataHparams(dataset=f"arrays:{file}"), Path("elsewhere"), Reporter()).classes == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.zeros(3)}, r"x_train has shape \(3,\); expected \(examples, features, ...\)"),
        ({"x_train": np.array([[1.0], [np.nan], [0.0]])}, r"x_train is nan at \[1, 0\]"),
        ({"x_train": np.array([[1.0], [1e39], [0.0]])}, r"x_train is 1e\+39 at \[1, 0\]; expected .* float32"),
        ({"x_train": np.array([["a"], ["b"], ["c"]])}, r"x_train.npy has values of type <U1"),
        ({"x_train": np.array([[1j], [1], [1]])}, r"x_train.npy has values of type complex128"),
        ({"y_train": np.array([0.0, 1.0, 0.0])}, "y_train has float64 of shape"),
        ({"y_train": np.array([0, 1])}, r"y_train has int64 of shape \(2,\); expected a whole number for each of 3"),
        ({"y_train": np.array([1, 2, 1])}, "y_train has 2 classes, among them 1"),
        ({"y_train": np.array([0, 10**12, 0])}, "y_train has 2 classes, among them 1000000000000"),
        ({"y_train": np.array([-1, 0, 1])}, "y_train has 3 classes, among them -1"),
        ({"y_test": np.array([2])}, "y_test has the label 2, which y_train lacks"),
        ({"x_test": np.zeros((1, 3))}, "differ in size"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(change, message, file):
    with pytest.raises(UsageError, match=message) as refused:
        loaded(file, {**ARRAYS, **change})
    assert str(refused.value).startswith("--dataset=arrays:tiny.npz: ")
    assert len(str(refused.value).splitlines()) == 1


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def archive(path: Path, **members: bytes) -> None:
    """A .npz file of the tiny arrays, some of them replaced by raw bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, array in ARRAYS.items():
            target.writestr(f"{name}.npy", members.get(name, npy(array)))


def objects(path: Path) -> None:
    archive(path, x_train=npy(np.array([[{}], [[]], [print]], dtype=object)))


def truncated(path: Path) -> None:
    archive(path)
    path.write_bytes(path.read_bytes()[:-100])


def a_flipped_bit(path: Path) -> None:
    np.savez(path, **ARRAYS)
    content = bytearray(path.read_bytes())
    content[content.index(ARRAYS["x_train"].tobytes())] ^= 1
    path.write_bytes(content)


def duplicates(path: Path) -> None:
    archive(path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as target:
        target.writestr("x_train.npy", npy(np.zeros((3, 2))))


def endless_header(path: Path) -> None:
    header = npy(ARRAYS["x_train"]).replace(b"(3, 2)", b"(9999999999, 99999999)")
    archive(path, x_train=header)


def deep_header(path: Path) -> None:
    archive(path, x_train=b"\x93NUMPY\x02\x00" + (90_000).to_bytes(4, "little") + b"[" * 90_000)


def bomb(path: Path) -> None:
    """40 GB of zeros by its directory."""
    archive(path)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"y_test.npy")) + 24
    content[at : at + 4] = (0xFFFFFFFE).to_bytes(4, "little")
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    path.mkdir()


def without_labels(path: Path) -> None:
    np.savez(path, x_train=ARRAYS["x_train"], x_test=ARRAYS["x_test"])


def one_array(path: Path) -> None:
    path.write_bytes(npy(ARRAYS["x_train"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (objects, "x_train.npy has Python objects, which are never loaded"),
        (truncated, "no intact .npz file"),
        (a_flipped_bit, "no intact .npz file .*CRC"),
        (duplicates, "the array x_train is there twice"),
        (endless_header, "its header says .* which is not the [0-9]+ bytes there"),
        (deep_header, "no intact .npz file"),
        (bomb, "its arrays would take 4,294,.* bytes; at most 1,000,000 are read"),
        (empty, "no intact .npz file"),
        (a_folder, "is not a regular file"),
        (without_labels, "it lacks the array y_train; expected x_train, .*; it has x_test, x_train"),
        (one_array, "no intact .npz file"),
        (lambda path: None, "there is no such file; it should have the arrays x_train, y_train, x_test, y_test"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_hostile_files_are_refused_in_one_line(
    make: Callable[[Path], None], message: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.arrays.LARGEST", 10**6)
    make(file)
    with pytest.raises(UsageError, match=message) as refused:
        loaded(file)
    assert len(str(refused.value).splitlines()) == 1


def test_a_command_line_trains_on_arrays(command, tmp_path):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 40)), np.arange(60) % 3
    x[:, :3] += 3 * np.eye(3)[y]
    np.savez(tmp_path / "blobs.npz", x_train=x[:45], y_train=y[:45], x_test=x[45:], y_test=y[45:])
    flags = (f"--root={tmp_path / 'runs'}", f"--data_dir={tmp_path}", "--dataset=arrays:blobs.npz", "--model=mlp1d_16")
    outcome = command(
        "lottery", *flags, "--pruning_strategy=adsynflow,snip", "--density=0.5", "--k=1", "--training_steps=2",
        "--batch_size=16", "--quiet",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert command("lottery", *flags, "--dataset=arrays:").code == 2
