"""Folders of images and their cache, on images of 3x2 pixels."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from foundations.errors import UsageError
from foundations.reporting import Reporter
from training.data import DataHparams, Dataset, StreamedData, load, open_data
from training.data import image_folder as module
from training.data.image_files import list_images

COLOURS = {"cat": (255, 0, 0), "dog": (0, 0, 255)}


class Recorder(Reporter):
    """Remembers what was reported."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warnings: list[str] = []
        self.progressed: list[tuple[str, int, int]] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    @contextmanager
    def progress(self, description: str, total: int, unit: str = "") -> Iterator:
        steps: list[int] = []
        yield steps.append
        self.progressed.append((description, total, sum(steps)))


def write_image(path: Path, mode: str = "RGB", colour=(0, 255, 0), size=(3, 2)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def pets(tmp_path) -> Path:
    """A data directory with an image folder: per class two training images and a test image."""
    for split, names in (("train", ("1.png", "2.png")), ("test", ("3.png",))):
        for label, colour in COLOURS.items():
            for name in names:
                write_image(tmp_path / "pets" / split / label / name, colour=colour)
    return tmp_path


def load_pets(data_dir: Path, reporter: Reporter | None = None) -> Dataset:
    return load(DataHparams(dataset="image_folder:pets"), data_dir, reporter or Reporter())


def test_images_are_read_class_by_class(pets):
    dataset = load_pets(pets)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train.labels.tolist() == [0, 0, 1, 1]
    assert dataset.test.labels.tolist() == [0, 1]
    assert str(dataset.shape) == "3x2x3 with 2 classes"
    for split in (dataset.train, dataset.test):
        for image, label in zip(split.images, split.labels, strict=True):
            colour = torch.tensor(list(COLOURS.values())[label])
            assert (image == colour).all()


def test_decoding_shows_its_progress_once_and_is_then_cached(pets):
    reporter = Recorder()
    first = load_pets(pets, reporter)
    assert reporter.progressed == [("Decoding pets", 6, 6)]
    written = (pets / "pets.cache.safetensors").stat().st_mtime_ns
    again = load_pets(pets, reporter)
    assert len(reporter.progressed) == 1
    assert (pets / "pets.cache.safetensors").stat().st_mtime_ns == written
    assert torch.equal(first.train.images, again.train.images)
    assert first.fingerprint == again.fingerprint


def touch(pets: Path) -> None:
    os.utime(pets / "pets/train/cat/1.png", ns=(1, 1))


def add(pets: Path) -> None:
    write_image(pets / "pets/test/dog/4.png")


def remove(pets: Path) -> None:
    (pets / "pets/train/cat/1.png").unlink()


def damage(pets: Path) -> None:
    (pets / "pets.cache.safetensors").write_bytes(b"\0" * 100)


@pytest.mark.parametrize("change", [touch, add, remove, damage])
def test_a_change_makes_the_cache_anew(pets, change):
    reporter = Recorder()
    load_pets(pets, reporter)
    change(pets)
    changed = load_pets(pets, reporter)
    assert len(reporter.progressed) == 2
    assert load_pets(pets, reporter).fingerprint == changed.fingerprint
    assert len(reporter.progressed) == 2


def test_gray_images_stay_gray_unless_one_has_colour(pets):
    shutil.rmtree(pets / "pets")
    for split in ("train", "test"):
        write_image(pets / "pets" / split / "cat/1.png", "L", 7)
    dataset = load_pets(pets)
    assert dataset.shape.channels == 1
    assert dataset.train.images.unique().tolist() == [7]
    write_image(pets / "pets/test/cat/2.png", "RGB", (1, 2, 3))
    dataset = load_pets(pets)
    assert dataset.shape.channels == 3
    assert dataset.train.images.unique().tolist() == [7]
    assert dataset.test.images[1, 0, 0].tolist() == [1, 2, 3]


def test_an_unreadable_image_is_named_and_nothing_is_written(pets):
    path = pets / "pets/train/dog/2.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UsageError, match=rf"^--dataset=image_folder:pets: {path} cannot be read \(.*\)$"):
        load_pets(pets)
    path.write_text("no image")
    with pytest.raises(UsageError, match=r"2.png cannot be read \(not an image\)"):
        load_pets(pets)
    assert [entry.name for entry in pets.iterdir()] == ["pets"]


def test_more_than_eight_bits_are_refused(pets):
    Image.fromarray(np.full((2, 3), 40000, dtype=np.uint16)).save(pets / "pets/train/dog/2.png")
    with pytest.raises(UsageError, match="more than 8 bits"):
        load_pets(pets)


def test_the_first_image_of_another_size_is_named(pets):
    write_image(pets / "pets/train/dog/2.png", size=(4, 2))
    with pytest.raises(UsageError, match=r"dog/2.png has 4x2 pixels, but .*cat/1.png has 3x2"):
        module.decoded_folder(list_images(pets / "pets"), "pets", pets, Reporter())  # by its name it would be streamed


def test_other_files_are_passed_over(pets):
    (pets / "pets/train/cat/._1.png").write_text("what macOS leaves behind")
    (pets / "pets/train/cat/readme.txt").write_text("cats")
    (pets / "pets/train/.cache").mkdir()
    assert len(load_pets(pets).train) == 4


def test_missing_and_empty_directories_are_named(pets):
    folder = pets / "pets"
    (folder / "test/dog/3.png").unlink()
    with pytest.raises(UsageError, match=f"{folder}/test/dog: no images in it"):
        load_pets(pets)
    (folder / "test/dog").rmdir()
    with pytest.raises(UsageError, match="the same classes, but only one has 'dog'"):
        load_pets(pets)
    shutil.rmtree(folder / "test/cat")
    with pytest.raises(UsageError, match=f"{folder}/test: no class in it"):
        load_pets(pets)
    shutil.rmtree(folder / "test")
    with pytest.raises(UsageError, match=f"{folder}/test is missing"):
        load_pets(pets)


def test_a_directory_that_cannot_be_written_is_reported_and_does_not_matter(pets):
    (pets / "pets.cache.safetensors").mkdir()  # nothing can take its place
    reporter = Recorder()
    for _ in range(2):
        assert len(load_pets(pets, reporter).train) == 4
    assert len(reporter.progressed) == 2
    assert "cannot be kept in" in reporter.warnings[0]
    assert sorted(entry.name for entry in pets.iterdir()) == ["pets", "pets.cache.safetensors"]


def test_an_interrupted_decoding_leaves_nothing(pets, monkeypatch):
    def interrupt(path, most_pixels):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "read_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_pets(pets)
    assert [entry.name for entry in pets.iterdir()] == ["pets"]


# Read otherwise than meant --------------------------------------------------------------------------------------------


def open_pets(data_dir: Path, reporter: Reporter):
    return open_data(DataHparams(dataset="image_folder:pets"), data_dir, reporter, torch.device("cpu"))


def test_one_line_says_what_was_read(pets):
    reporter = Recorder()
    write_image(pets / "pets" / "train" / "dog" / "3.png")
    open_pets(pets, reporter)
    assert reporter.said == [
        "Data image_folder:pets: 5 train, 2 test images of 3x2x3, 2 classes, the smallest 'cat' with 2 training images"
    ]
    assert reporter.warnings == []


def test_files_that_are_passed_over_are_counted(pets):
    reporter, cats = Recorder(), pets / "pets" / "train" / "cat"
    for name in ("a.gif", "b.gif", "more/c.png", "more/still/d.png", ".hidden.png", "../beside.png"):
        (cats / name).parent.mkdir(parents=True, exist_ok=True)
        (cats / name).write_bytes(b"")
    (cats / "photo.jfif").write_bytes(b"")
    assert open_pets(pets, reporter).sizes == {"train": 4, "test": 2}
    [warning] = reporter.warnings
    assert "files passed over: 6 (2 .gif, 1 .jfif, 1 beside the classes, 2 in subdirectories)" in warning


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_drawing_in_the_alpha_channel_is_refused(pets, mode):
    image = Image.new("RGBA", (3, 2), (0, 0, 0, 255))
    image.putpixel((1, 1), (0, 0, 0, 0))
    image.convert(mode).save(path := pets / "pets" / "train" / "cat" / "1.png")
    with pytest.raises(UsageError, match=f"{path} cannot be read .it has transparent pixels"):
        load_pets(pets)


def test_an_opaque_alpha_channel_is_no_matter(pets):
    plain = load_pets(pets)
    for path in (pets / "pets").rglob("*.png"):
        Image.open(path).convert("RGBA").save(path)
    assert torch.equal(load_pets(pets).train.images, plain.train.images)


def test_photographs_are_turned_as_their_exif_data_say(pets):
    upright = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    turned_back = Image.fromarray(np.ascontiguousarray(np.rot90(upright)))
    turned_back.save(pets / "pets" / "train" / "cat" / "1.png", exif=exif)
    assert load_pets(pets).train.images[0].tolist() == upright.tolist()
    assert not isinstance(open_pets(pets, Reporter()), StreamedData)  # the sizes are those of turned images


def test_two_swapped_files_of_one_size_and_time_are_decoded_again(pets):
    first, second = (pets / "pets" / "train" / "cat" / name for name in ("1.png", "2.png"))
    write_image(second, colour=(254, 0, 0))
    size = max(path.stat().st_size for path in (first, second))
    for path in (first, second):
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
        os.utime(path, ns=(0, 0))
    before = load_pets(pets).train.images
    spare = first.with_name("spare")
    first.rename(spare)
    second.rename(first)
    spare.rename(second)
    after = load_pets(pets).train.images
    assert not torch.equal(before[0], before[1])
    assert torch.equal(after[:2], before[:2].flip(0))


def test_one_image_of_another_size_among_many_is_refused_by_name(pets):
    for number in range(30):
        write_image(pets / "pets" / "train" / "cat" / f"more{number}.png")
    write_image(odd := pets / "pets" / "test" / "dog" / "odd.png", size=(4, 2))
    with pytest.raises(UsageError, match=f"{odd} has 4x2 pixels; nearly all others have 3x2"):
        open_pets(pets, Reporter())


def test_images_of_many_sizes_are_streamed_which_is_said(pets):
    write_image(pets / "pets" / "test" / "dog" / "odd.png", size=(4, 2))
    reporter = Recorder()
    assert open_pets(pets, reporter).shape.height == 224
    assert "of several sizes, or many: they are streamed, as parts of 224x224 pixels" in reporter.warnings[0]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["a pipe", "a directory"])
def test_what_is_no_regular_file_is_refused_and_not_read_for_ever(pets, make):
    make(path := pets / "pets" / "train" / "cat" / "3.png")
    with pytest.raises(UsageError, match=f"{path} is not a regular file"):
        load_pets(pets)


def test_a_class_that_links_to_elsewhere_is_said(pets):
    reporter, dogs = Recorder(), pets / "pets" / "train" / "dog"
    dogs.rename(elsewhere := pets / "elsewhere")
    dogs.symlink_to(elsewhere)
    assert open_pets(pets, reporter).sizes["train"] == 4
    assert reporter.warnings == [
        f"--dataset=image_folder:pets: classes that are links to elsewhere: 1 (first {dogs}, to {elsewhere})"
    ]
