"""The validation set, held out of images that carry their number."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from foundations.errors import UsageError
from foundations.seeds import Seeds
from training.data import DataHparams, Dataset, DeviceData, datasets
from training.data.loading import load
from training.state import Noise

CPU = torch.device("cpu")
SIZE, CLASSES = 100, 4


@pytest.fixture
def numbered(listener):
    """``numbered(**data hyperparameters)`` loads images 0 to 99, each of one pixel that says which it is."""

    def read(data_dir: Path, reporter: object) -> Dataset:
        images = torch.arange(SIZE, dtype=torch.uint8).view(-1, 1, 1)
        labels = torch.arange(SIZE) % CLASSES
        return Dataset.from_arrays(images, labels, images[:10], labels[:10], crop_padding=0, flip=False)

    datasets.register("numbered")(read)

    def numbered(**hparams: float) -> DeviceData:
        described = DataHparams(dataset="numbered", batch_size=8, **hparams)  # type: ignore[arg-type]
        return DeviceData(load(described, Path("unused"), listener), described, CPU)

    return numbered


def numbers(inputs: Tensor, data: DeviceData) -> set[int]:
    """Which images these are."""
    pixels = (inputs * data.dataset.std[0] + data.dataset.mean[0]) * 255
    return {round(value) for value in pixels.flatten().tolist()}


def held_out(data: DeviceData) -> set[int]:
    return set().union(*(numbers(inputs, data) for inputs, _ in data.evaluation_batches("validation")))


def test_its_images_are_never_trained_on_nor_scored_on(numbered) -> None:
    data = numbered(validation_fraction=0.2)
    validation = held_out(data)
    assert len(validation) == data.sizes["validation"] == 20
    rest = set(range(SIZE)) - validation
    for epoch in range(3):
        batches = data.batches(Noise(Seeds(1)).epoch(epoch), 0, data.iterations_per_epoch)
        assert set().union(*(numbers(data.fetch(batch)[0], data) for batch in batches)) == rest
    assert set().union(*(numbers(inputs, data) for inputs, _ in data.evaluation_batches("train"))) == rest
    scored = data.pruning_batches(10, 8, Seeds(1).generator("pruning"))
    assert set().union(*(numbers(inputs, data) for inputs, _ in scored.pairs)) == rest
    assert set().union(*({round(255 * pixel) for pixel in pixels.flatten().tolist()} for pixels in scored.pixels)) == (
        rest
    )
    assert scored.mean_image.item() == pytest.approx(sum(rest) / len(rest) / 255)


def test_it_has_every_class_in_proportion_and_the_right_labels(numbered) -> None:
    data = numbered(validation_fraction=0.2, random_labels_fraction=1.0)
    assert data.labels["validation"].bincount().tolist() == [5, 5, 5, 5]
    for inputs, labels in data.evaluation_batches("validation"):
        pixels = (inputs * data.dataset.std[0] + data.dataset.mean[0]) * 255
        assert torch.equal(pixels.flatten().round().long() % CLASSES, labels)


def test_it_depends_on_the_transformation_seed_alone(numbered) -> None:
    first = held_out(numbered(validation_fraction=0.2))
    assert held_out(numbered(validation_fraction=0.2)) == first
    assert held_out(numbered(validation_fraction=0.2, subsample_fraction=0.5)) == first
    assert held_out(numbered(validation_fraction=0.2, transformation_seed=1)) != first


def test_a_part_of_the_training_set_is_a_part_of_the_rest(numbered) -> None:
    data = numbered(validation_fraction=0.2, subsample_fraction=0.5)
    assert data.sizes == {"train": 40, "test": 10, "validation": 20}


def test_fingerprint_and_normalization_are_those_of_the_whole_training_set(numbered) -> None:
    plain, split = numbered(), numbered(validation_fraction=0.2)
    assert (split.fingerprint, split.normalization) == (plain.fingerprint, plain.normalization)


def test_without_a_fraction_there_is_none(numbered) -> None:
    data = numbered()
    assert data.sizes == {"train": 100, "test": 10}
    with pytest.raises(ValueError, match="no split 'validation'; valid: train, test"):
        next(data.evaluation_batches("validation"))


def test_something_must_be_left_to_train_on(numbered) -> None:
    with pytest.raises(UsageError, match=r"--validation_fraction=0\.999: none of 100 training images is left"):
        numbered(validation_fraction=0.999)


def test_a_validation_set_takes_no_class_out_of_training(numbered):
    with pytest.raises(UsageError, match=r"--validation_fraction=0.97: it would hold out all images of class '3'"):
        numbered(validation_fraction=0.97)
