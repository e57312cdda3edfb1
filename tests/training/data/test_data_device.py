"""Batches: order, crops, flips and normalization, on images small enough to follow by eye."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from foundations.errors import UsageError
from foundations.seeds import Seeds
from training.data import DataHparams, Dataset, DeviceData, EpochNoise, Pair

CPU = torch.device("cpu")
SQUARE = np.array([[1, 2], [3, 4]], dtype=np.uint8)


def device_data(dataset: Dataset, **hparams) -> DeviceData:
    return DeviceData(dataset, DataHparams(**hparams), CPU)


def random_dataset(size: int, classes: int = 3, **options) -> Dataset:
    """Coloured images of 5x4 pixels, the first pixel of image n holding n; labels in turn."""
    images = np.random.default_rng(0).integers(0, 256, (size, 5, 4, 3), dtype=np.uint8)
    labels = np.arange(size) % classes
    return Dataset.from_arrays(images, labels, images[:6], labels[:6], **options)


def pixels(inputs: torch.Tensor, data: DeviceData) -> torch.Tensor:
    """The bytes behind normalized inputs, (B, H, W, C)."""
    mean, std = torch.tensor(data.dataset.mean), torch.tensor(data.dataset.std)
    return ((inputs.permute(0, 2, 3, 1) * std + mean) * 255).round().to(torch.uint8)


def epoch(data: DeviceData, number: int = 0) -> list[Pair]:
    """The batches of an epoch."""
    return [data.fetch(batch) for batch in data.batches(noise(number), 0, data.iterations_per_epoch)]


def noise(number: int = 0) -> EpochNoise:
    seeds = Seeds(1)
    generators = (seeds.generator("order", number), seeds.generator("augmentation", number))
    return EpochNoise(*generators, number, seeds.generator("flips"))


def cropped(top: int, left: int, flip: bool) -> list[list[int]]:
    """The 2x2 image 1 2 / 3 4 with a padding of 1, cropped at (top, left) and perhaps mirrored."""
    data = device_data(Dataset.from_arrays(SQUARE[None], [0], SQUARE[None], [0], crop_padding=1))
    return pixels(data.fetch((torch.tensor([[0, top, left, flip]]),))[0], data)[0, :, :, 0].tolist()


def test_crops_and_flips_by_hand():
    assert cropped(1, 1, flip=False) == [[1, 2], [3, 4]]
    assert cropped(1, 1, flip=True) == [[2, 1], [4, 3]]
    assert cropped(0, 0, flip=False) == [[0, 0], [0, 1]]
    assert cropped(0, 0, flip=True) == [[0, 0], [1, 0]]
    assert cropped(2, 1, flip=False) == [[3, 4], [0, 0]]
    assert cropped(2, 0, flip=True) == [[3, 0], [0, 0]]


def test_a_border_that_is_reflected_by_hand():
    image = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype=np.uint8)[None, :, :, None].repeat(3, 3)
    dataset = Dataset.from_arrays(image, [0], image, [0], crop_padding=1)
    data = device_data(dataset, crop_border="reflected")
    seen = pixels(data.fetch((torch.tensor([[0, 0, 2, 0]]),))[0], data)[0, :, :, 0]  # one up, and one to the right
    assert seen.tolist() == [[5, 6, 5], [2, 3, 2], [5, 6, 5]]


def test_flips_that_alternate_show_both_sides_of_every_image_in_two_epochs():
    images = np.arange(200, dtype=np.uint8).reshape(100, 1, 2).copy()
    dataset = Dataset.from_arrays(images, range(100), images, range(100), crop_padding=0, flip=True)
    data = device_data(dataset, flips="alternating")

    def mirrored(number: int) -> torch.Tensor:
        seen = [(labels, pixels(inputs, data)[:, 0, :, 0].int()) for inputs, labels in epoch(data, number)]
        labels, images = (torch.cat(parts) for parts in zip(*seen, strict=True))
        return (images[:, 0] > images[:, 1])[labels.argsort()]

    assert torch.equal(mirrored(0), ~mirrored(1))
    assert torch.equal(mirrored(0), mirrored(2))
    assert 30 < mirrored(0).sum() < 70


def test_normalization_by_hand():
    data = device_data(Dataset.from_arrays(SQUARE[None], [0], SQUARE[None], [0]), do_not_augment=True)
    # Mean 2.5, variance 1.25.
    expected = torch.tensor([[[[-1.5, -0.5], [0.5, 1.5]]]]) / 1.25**0.5
    torch.testing.assert_close(epoch(data)[0][0], expected)
    torch.testing.assert_close(next(data.evaluation_batches("test"))[0], expected)


@pytest.mark.parametrize(("kind", "unit"), [("unit", 255.0), ("none", 1.0)])
def test_pixels_as_stored_or_in_0_to_1(kind: str, unit: float) -> None:
    dataset = Dataset.from_arrays(SQUARE[None], [0], SQUARE[None], [0])
    data = device_data(dataset, do_not_augment=True, normalization=kind)
    expected = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]) / unit
    torch.testing.assert_close(epoch(data)[0][0], expected)
    torch.testing.assert_close(next(data.evaluation_batches("test"))[0], expected)
    mean, std = (torch.tensor(data.normalization[name]) for name in ("mean", "std"))
    torch.testing.assert_close((torch.tensor(SQUARE) / 255 - mean) / std, expected[0, 0])


@pytest.mark.parametrize("kind", ["standardize", "unit", "none"])
def test_the_pixels_that_synflow_sees_do_not_depend_on_normalization(kind: str) -> None:
    data = device_data(Dataset.from_arrays(SQUARE[None], [0], SQUARE[None], [0]), normalization=kind)
    batches = data.pruning_batches(1, 1, Seeds(1).generator("pruning"))
    torch.testing.assert_close(batches.pixels[0][0, 0], torch.tensor(SQUARE) / 255)


@pytest.mark.parametrize(
    ("kind", "expected"), [("standardize", [-1.0, 3.0]), ("none", [-1.0, 3.0]), ("unit", [0.0, 1.0])]
)
def test_features_stay_as_stored_or_lie_in_0_to_1(kind: str, expected: list[float]) -> None:
    values = np.array([[-1.0, 3.0]])
    data = device_data(Dataset.from_features(values, [0], values, [0]), normalization=kind)
    torch.testing.assert_close(next(data.evaluation_batches("test"))[0].flatten(), torch.tensor(expected))


def test_channels_are_normalized_each_by_its_own():
    dataset = random_dataset(50)
    inputs, _ = next(device_data(dataset).evaluation_batches("train"))
    flat = inputs.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(3).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(flat.std(1, correction=0), torch.ones(3).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("augment", [True, False])
def test_an_epoch_shows_every_image_once(augment):
    images = np.arange(1, 11, dtype=np.uint8).reshape(10, 1, 1).repeat(3, 1).repeat(3, 2)
    labels = np.arange(10)
    dataset = Dataset.from_arrays(images, labels, images, labels, crop_padding=1)
    data = device_data(dataset, batch_size=4, do_not_augment=not augment)
    batches = epoch(data)
    assert [len(labels) for _, labels in batches] == [4, 4, 2]
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(10))
    for inputs, labels in batches:  # image n is filled with n + 1, and any crop keeps its centre
        assert pixels(inputs, data)[:, 1, 1, 0].tolist() == (labels + 1).tolist()


def test_all_crops_and_both_flips_occur():
    data = device_data(random_dataset(600, crop_padding=1))
    _, top, left, flip = data.epoch(noise()).unbind(1)
    assert top.unique().tolist() == left.unique().tolist() == [0, 1, 2]
    assert flip.unique().tolist() == [0, 1]
    assert not torch.equal(top, left)


def test_without_augmentation_batches_are_the_images_themselves():
    dataset = random_dataset(20)
    for data in (
        device_data(dataset, do_not_augment=True),
        device_data(replace(dataset, crop_padding=0, flip=False)),
    ):
        assert torch.equal(pixels(epoch(data)[0][0], data), dataset.train.images[data.epoch(noise())[:, 0]])


def test_a_batch_depends_on_the_generators_alone():
    data = device_data(random_dataset(40), batch_size=16)
    before = torch.get_rng_state()
    first, again, other = (epoch(data, number)[1] for number in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(before, torch.get_rng_state())


def test_order_and_augmentation_have_generators_of_their_own():
    data, seeds = device_data(random_dataset(40)), Seeds(1)
    order, top, _, flip = data.epoch(EpochNoise(seeds.generator("order"), seeds.generator("crops"))).unbind(1)
    other = data.epoch(EpochNoise(seeds.generator("order"), seeds.generator("other crops"))).unbind(1)
    assert torch.equal(order, other[0])
    assert not torch.equal(top, other[1])
    assert not torch.equal(flip, other[3])


def test_inputs_are_channels_last_float32():
    inputs, labels = epoch(device_data(random_dataset(10)))[0]
    assert inputs.shape == (10, 3, 5, 4)
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert labels.dtype == torch.int64


@pytest.mark.parametrize("split", ["train", "test"])
def test_evaluation_goes_through_the_split_in_order(split):
    dataset = random_dataset(11)
    data, part = device_data(dataset), getattr(dataset, split)
    batches = list(data.evaluation_batches(split, batch_size=4))
    assert torch.equal(torch.cat([pixels(inputs, data) for inputs, _ in batches]), part.images)
    assert torch.equal(torch.cat([labels for _, labels in batches]), part.labels)


def test_evaluation_of_some_images_takes_the_same_ones_of_every_class():
    data = device_data(random_dataset(30))
    first, again = (list(data.evaluation_batches("train", batch_size=4, limit=9)) for _ in range(2))
    assert torch.cat([labels for _, labels in first]).bincount().tolist() == [3, 3, 3]
    assert all(torch.equal(one[0], other[0]) for one, other in zip(first, again, strict=True))
    assert sum(len(labels) for _, labels in data.evaluation_batches("train", limit=99)) == 30


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="valid: train, test"):
        next(device_data(random_dataset(6)).evaluation_batches("validation"))


def test_pruning_batches_are_balanced_distinct_and_not_augmented():
    dataset = random_dataset(60)
    data = device_data(dataset)
    batches = data.pruning_batches(2, 9, torch.Generator().manual_seed(0))
    assert [labels.bincount().tolist() for _, labels in batches] == [[3, 3, 3], [3, 3, 3]]
    images = torch.cat([pixels(inputs, data) for inputs, _ in batches])
    places = [(dataset.train.images == image).flatten(1).all(1).nonzero().item() for image in images]
    assert len(set(places)) == 18


def test_pruning_batches_hold_pixels_and_the_mean_image():
    dataset = random_dataset(12)
    data = device_data(dataset)
    batches = data.pruning_batches(2, 4, torch.Generator().manual_seed(0))
    for (inputs, _), unit in zip(batches, batches.pixels, strict=True):
        assert torch.equal((unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1), pixels(inputs, data))
        assert 0 <= unit.min() <= unit.max() <= 1
    mean = dataset.train.images.double().mean(0).permute(2, 0, 1) / 255
    torch.testing.assert_close(batches.mean_image, mean.float())


def test_pruning_batches_come_from_their_generator():
    data = device_data(random_dataset(60))
    first, again, other = (data.pruning_batches(1, 12, torch.Generator().manual_seed(seed))[0][0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_unbalanced_pruning_batches_go_by_chance():
    labels = np.array([0] * 90 + [1] * 10)
    images = np.zeros((100, 2, 2), np.uint8)
    data = device_data(Dataset.from_arrays(images, labels, images, labels))
    generator = torch.Generator().manual_seed(0)
    chance = data.pruning_batches(1, 50, generator, balanced=False)[0][1].bincount()
    assert chance[0] > 40
    # Ten of the small class is all there are; the rest is of the other.
    assert data.pruning_batches(1, 50, generator)[0][1].bincount().tolist() == [40, 10]
    assert data.pruning_batches(1, 16, generator)[0][1].bincount().tolist() == [8, 8]


def test_pruning_batches_of_a_small_training_set():
    data = device_data(random_dataset(10))
    assert len(data.pruning_batches(1, 128, torch.Generator())[0][1]) == 10
    with pytest.raises(UsageError, match="--pruning_batches=3: 10 training images make 2 batches of 8"):
        data.pruning_batches(3, 8, torch.Generator())


@pytest.mark.parametrize("first", [0, 2])
def test_small_batches_that_are_fetched_together_are_those_fetched_alone(first):
    images = np.random.default_rng(0).integers(256, size=(22, 4, 4), dtype=np.uint8)
    data = device_data(Dataset.from_arrays(images, range(22), images, range(22), crop_padding=1, flip=True))
    data.batch_size, last = 5, 5
    alone = map(data.augmented, data.epoch(noise()).split(5)[first:last])
    assert data.at_once > last
    for batch, (inputs, labels) in zip(data.batches(noise(), first, last), alone, strict=True):
        assert torch.equal(data.fetch(batch)[0], inputs)
        assert torch.equal(data.fetch(batch)[1], labels)


def test_images_that_are_not_augmented_are_those_of_the_data_set_in_the_order_of_the_epoch():
    images = np.random.default_rng(0).integers(256, size=(22, 3, 5), dtype=np.uint8)
    data = device_data(Dataset.from_arrays(images, range(22), images, range(22), crop_padding=0, flip=False))
    seen = torch.cat([pixels(inputs, data) for inputs, _ in epoch(data)])
    assert torch.equal(seen[:, :, :, 0], torch.from_numpy(images)[data.epoch(noise())[:, 0]])
