"""Images that stay in their files: decoded by workers, the same bits however many there are."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from foundations.environment import same_data
from foundations.errors import UsageError
from foundations.processes import Share
from foundations.reporting import Reporter
from foundations.seeds import Seeds
from foundations.store import Store
from pruning import prune
from training.data import DataHparams, DeviceData, ImageFiles, StreamedData, load, open_data
from training.data.batches import WHOLE
from training.data.decoding import FEW
from training.data.image_files import read_image_files
from training.state import Noise

CPU = torch.device("cpu")
SIZE = 12
HPARAMS = DataHparams(dataset="imagenet", batch_size=16)


def paint(path: Path, seed: int, size: tuple[int, int], mode: str = "RGB") -> None:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)


def folder(path: Path, splits: tuple[str, str], train: int, test: int, sizes: Callable[[int], tuple[int, int]]) -> None:
    """Two classes of pictures."""
    for split, count in zip(splits, (train, test), strict=True):
        for number in range(count):
            paint(path / split / "ab"[number % 2] / f"{number:03}.jpg", number, sizes(number))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 training and 6 test images of several sizes, as ImageNet's lie."""
    path: Path = tmp_path_factory.mktemp("data")
    folder(path / "imagenet", ("train", "val"), 70, 6, lambda number: (14 + number % 5, 20 - number % 3))
    return path


@pytest.fixture(scope="module")
def files(data_dir: Path) -> ImageFiles:
    found = read_image_files(data_dir / "imagenet", "imagenet", ("train", "val"), Reporter())
    return replace(found, size=SIZE, resized=13)


def streamed(files: ImageFiles, workers: int = 0, **hparams: Any) -> StreamedData:
    return StreamedData(files, replace(HPARAMS, **hparams), CPU, workers)


def epoch(data: StreamedData, number: int = 0, first: int = 0, last: int = 5, share: Share = WHOLE) -> list[Tensor]:
    """The bytes and labels of an epoch's batches."""
    batches = data.batches(Noise(Seeds(1)).epoch(number), first, last, share)
    return [tensor for batch in batches for tensor in batch]


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))


# Bits ----------------------------------------------------------------------------------------------------------------


def test_workers_change_no_bit(files: ImageFiles) -> None:
    assert len(files.train) > FEW  # fewer images are decoded without workers
    one, two = streamed(files), streamed(files, workers=2)
    assert same(epoch(one), epoch(two))
    assert not same(epoch(one), epoch(one, 1))


def test_an_epoch_gone_on_with_changes_no_bit(files: ImageFiles) -> None:
    whole, data = epoch(streamed(files)), streamed(files)
    assert same(epoch(data, last=3), whole[:6])
    assert same(epoch(data, first=3), whole[6:])  # with what was decoded ahead
    assert same(epoch(data, first=4), whole[8:])  # again
    assert same(epoch(streamed(files), first=2), whole[4:])  # by another process


def test_what_was_decoded_ahead_is_not_decoded_again(files: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    data = streamed(files)
    epoch(data, last=3)
    monkeypatch.setattr(data, "_epoch", lambda *_: pytest.fail("decoded anew"))
    epoch(data, first=1, last=4)  # two batches of the last ten, and the next one


def test_shares_of_a_batch_are_the_batch(files: ImageFiles) -> None:
    whole = epoch(streamed(files))
    shares = [epoch(streamed(files), share=Share(number, 2)) for number in range(2)]
    assert same([torch.cat(parts) for parts in zip(*shares, strict=True)], whole)


def test_an_epoch_has_every_image_once_in_the_order_of_its_generator(files: ImageFiles) -> None:
    data = streamed(files, do_not_augment=True)
    order = torch.randperm(70, generator=Noise(Seeds(1)).epoch(0).order)
    labels = torch.cat(epoch(data)[1::2])
    assert torch.equal(labels, files.train.labels[order])
    [(first, _)] = list(data.evaluation_batches("train"))
    images = data.normalize(torch.cat(epoch(data)[::2]))
    assert torch.equal(images, first[order])


# Pixels --------------------------------------------------------------------------------------------------------------


def test_evaluated_are_the_middles_normalized(tmp_path: Path) -> None:
    white, edge = Image.new("RGB", (40, 20), "white"), Image.new("RGB", (5, 20), "black")
    white.paste(edge, (0, 0))
    for split in ("train", "val"):
        (tmp_path / split / "a").mkdir(parents=True)
        white.save(tmp_path / split / "a" / "1.png")
    files = read_image_files(tmp_path, "imagenet", ("train", "val"), Reporter())
    data = streamed(replace(files, size=20, resized=20))
    [(images, labels)] = data.evaluation_batches("test")
    expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(images, expected.view(1, 3, 1, 1).expand(1, 3, 20, 20), rtol=0, atol=1e-6)
    assert labels.tolist() == [0]
    assert torch.equal(data.mean_image, torch.ones(3, 20, 20))


def test_augmented_images_differ_by_epoch_and_have_the_size_of_all(files: ImageFiles) -> None:
    images = epoch(streamed(files, batch_size=70), last=1)[0]
    assert (images.shape, images.dtype) == ((70, SIZE, SIZE, 3), torch.uint8)
    inputs, _ = streamed(files).fetch((images, torch.zeros(70)))
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_pruning_batches_are_balanced_and_come_with_their_pixels(files: ImageFiles) -> None:
    data = streamed(files)
    batches = data.pruning_batches(2, 8, torch.Generator().manual_seed(0))
    assert [labels.bincount().tolist() for _, labels in batches] == [[4, 4], [4, 4]]
    assert torch.equal(data.normalize((batches.pixels[0] * 255).round().byte().permute(0, 2, 3, 1)), batches[0][0])
    with pytest.raises(UsageError, match="--pruning_batches=10: 70 training images make 9 batches of 8"):
        data.pruning_batches(10, 8, torch.Generator())


def test_the_mean_image_is_read_only_for_strategies_that_show_it(
    files: ImageFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = streamed(files)
    batches = data.pruning_batches(2, 8, torch.Generator().manual_seed(0))
    read, seen = StreamedData.stored, []
    monkeypatch.setattr(StreamedData, "stored", lambda *asked: seen.append(asked[1]) or read(*asked))
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 2))
    for name in ("synflow", "snip", "grasp"):
        prune(name, network, batches, density=0.5)
    assert not seen
    for _ in range(2):
        prune("adsynflow", network, batches, density=0.5)
    assert seen == ["train"]


def test_gray_and_palette_images_become_coloured(tmp_path: Path) -> None:
    for number, mode in enumerate(("L", "P", "RGBA", "CMYK")):
        suffix = "jpg" if mode == "CMYK" else "png"
        for split in ("train", "val"):
            paint(tmp_path / split / "a" / f"{number}.{suffix}", number, (9, 9), mode)
    files = read_image_files(tmp_path, "imagenet", ("train", "val"), Reporter())
    [(images, _)] = streamed(replace(files, size=8, resized=9)).evaluation_batches("test")
    assert images.shape == (4, 3, 8, 8)


# Where they come from ------------------------------------------------------------------------------------------------


def test_folders_of_one_size_are_kept_on_the_device_others_streamed(tmp_path: Path) -> None:
    folder(tmp_path / "equal", ("train", "test"), 4, 2, lambda number: (8, 8))
    folder(tmp_path / "mixed", ("train", "test"), 4, 2, lambda number: (8 + number, 8))
    kinds = {
        name: type(open_data(DataHparams(dataset=f"image_folder:{name}"), tmp_path, Reporter(), CPU))
        for name in ("equal", "mixed")
    }
    assert kinds == {"equal": DeviceData, "mixed": StreamedData}
    with pytest.raises(UsageError, match="its images stay in their files"):
        load(DataHparams(dataset="image_folder:mixed"), tmp_path, Reporter())


def test_a_part_of_the_images_and_random_labels(data_dir: Path) -> None:
    hparams = replace(HPARAMS, subsample_fraction=0.5, random_labels_fraction=1.0)
    data = open_data(hparams, data_dir, Reporter(), CPU)
    whole = open_data(HPARAMS, data_dir, Reporter(), CPU)
    assert (data.sizes["train"], data.sizes["test"]) == (35, 6)
    assert data.fingerprint == whole.fingerprint
    assert data.shape.classes == 2


def tiny_archive(path: Path) -> None:
    """Tiny ImageNet's own layout, with two classes."""
    for name in ("n01", "n02"):
        for number in range(3):
            paint(path / "train" / name / "images" / f"{name}_{number}.JPEG", number, (8, 8))
    for number in range(2):
        paint(path / "val" / "images" / f"val_{number}.JPEG", 10 + number, (8, 8))
    lines = ["val_0.JPEG\tn02\t0\t0\t7\t7", "val_1.JPEG\tn01\t0\t0\t7\t7"]
    (path / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")


def test_tiny_imagenet_in_its_own_layout_and_converted(tmp_path: Path) -> None:
    tiny_archive(tmp_path / "own" / "tiny-imagenet-200")
    own = load(DataHparams(dataset="tiny_imagenet"), tmp_path / "own", Reporter())
    assert (own.class_names, own.shape.height, len(own.train)) == (("n01", "n02"), 8, 6)
    assert own.test.labels.tolist() == [0, 1]
    source = tmp_path / "own" / "tiny-imagenet-200" / "val" / "images"
    target = tmp_path / "converted" / "tiny_imagenet"
    (target / "train").mkdir(parents=True)
    for name, number in (("n01", 1), ("n02", 0)):
        (target / "val" / name).mkdir(parents=True)
        (source / f"val_{number}.JPEG").rename(target / "val" / name / "1.JPEG")
        (tmp_path / "own" / "tiny-imagenet-200" / "train" / name / "images").rename(target / "train" / name)
    converted = load(DataHparams(dataset="tiny_imagenet"), tmp_path / "converted", Reporter())
    assert torch.equal(converted.train.images, own.train.images)
    assert torch.equal(converted.test.images, own.test.images)


@pytest.mark.parametrize(("dataset", "line"), [
    ("imagenet", r"--dataset=imagenet: .*imagenet/train is missing; images are looked for in .*/imagenet/train/CLASS/"),
    ("tiny_imagenet", "--dataset=tiny_imagenet: .*val_annotations.txt is missing. Unpack tiny-imagenet-200.zip into"),
])  # fmt: skip
def test_what_is_missing_is_said(dataset: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=line):
        load(DataHparams(dataset=dataset), tmp_path, Reporter())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_named_in_one_line(workers: int, tmp_path: Path) -> None:
    folder(tmp_path / "imagenet", ("train", "val"), 70, 2, lambda number: (9, 9))
    damaged = tmp_path / "imagenet" / "train" / "a" / "004.jpg"
    damaged.write_bytes(damaged.read_bytes()[:200])
    files = read_image_files(tmp_path / "imagenet", "imagenet", ("train", "val"), Reporter())
    with pytest.raises(UsageError) as refused:
        epoch(streamed(replace(files, size=8, resized=8), workers))
    assert str(refused.value).startswith(f"{damaged} cannot be read (")
    assert "\n" not in str(refused.value)


# What they are known by ----------------------------------------------------------------------------------------------


def test_fingerprints_are_of_names_sizes_and_times_and_of_contents_if_asked(tmp_path: Path) -> None:
    folder(tmp_path / "imagenet", ("train", "val"), 4, 2, lambda number: (9, 9))

    def fingerprint(*, verify: bool = False) -> str:
        return open_data(HPARAMS, tmp_path, Reporter(), CPU, verify=verify).fingerprint

    plain, verified = fingerprint(), fingerprint(verify=True)
    assert verified.startswith(f"{plain}+")
    assert same_data(plain, verified)
    image = tmp_path / "imagenet" / "train" / "a" / "000.jpg"
    times = image.stat()
    image.touch()  # as a copy of the files is
    assert not same_data(plain, fingerprint())
    assert same_data(verified, fingerprint(verify=True))
    content = image.read_bytes()
    image.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(image, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert same_data(plain, fingerprint())  # which goes by times
    assert not same_data(verified, fingerprint(verify=True))


# Trained on ----------------------------------------------------------------------------------------------------------


def test_a_training_that_is_interrupted_in_mid_epoch_ends_with_the_same_bits(
    command: Callable[..., Any], interrupt_at: Callable[..., None], data_dir: Path, tmp_path: Path
) -> None:
    flags = (
        "train", "--dataset=imagenet", f"--data_dir={data_dir}", "--model=mnist_lenet_4", "--training_steps=8it",
        "--batch_size=16", "--device=cpu", "--threads=1", "--lr=0.001", "--evaluate_every=1ep",
    )  # fmt: skip
    assert command(*flags, "--workers=0", f"--root={tmp_path / 'whole'}").code == 0
    interrupt_at(3)
    assert command(*flags, "--workers=2", f"--root={tmp_path / 'parts'}").code == 130
    assert command(*flags, "--workers=1", f"--root={tmp_path / 'parts'}").code == 0
    whole, parts = (
        [Store(path.parent).read_tensors(path.name) for path in sorted((tmp_path / root).rglob("model_*.safetensors"))]
        for root in ("whole", "parts")
    )
    assert len(whole) >= 2
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)
