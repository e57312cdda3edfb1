"""Dense networks as large as a subnetwork."""

from pathlib import Path

import pytest

from cli import main
from foundations.errors import UsageError
from lottery.small_dense import Size, equally_large, size_of
from models import ImageShape, ModelHparams, with_width

SHAPE = ImageShape(1, 8, 8, 10)


@pytest.mark.parametrize(
    ("name", "width", "expected"),
    [
        ("cifar_resnet_20", 5, "cifar_resnet_20_5"), ("cifar_resnet_20_64", 5, "cifar_resnet_20_5"),
        ("mnist_lenet_300_100", 30, "mnist_lenet_30_10"), ("mnist_lenet_300_100", 1, "mnist_lenet_1_1"),
        ("mlp1d", 7, "mlp1d_7"),
    ],
)  # fmt: skip
def test_a_name_with_another_width(name: str, width: int, expected: str) -> None:
    assert with_width(name, width) == expected


@pytest.mark.parametrize("name", ["cifar_vgg_16", "imagenet_resnet_18", "conv2", "torchvision:resnet18"])
def test_a_name_without_a_width_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"--model={name}: its name has no width"):
        with_width(name, 3)


def test_a_size_by_hand() -> None:
    """64 * 3 + 3 * 10 weights, each used once."""
    assert size_of(ModelHparams(model="mnist_lenet_3"), SHAPE) == Size(222, 222)


@pytest.mark.parametrize(("wanted", "width"), [(1, 1), (74, 1), (110, 1), (112, 2), (222, 3), (7400, 100), (7399, 100)])
def test_the_nearest_width_is_found(wanted: int, width: int) -> None:
    """A hidden unit of LeNet has 64 + 10 weights."""
    name, size = equally_large(ModelHparams(model="mnist_lenet_300"), SHAPE, "weights", wanted)
    assert (name, size.weights) == (f"mnist_lenet_{width}", 74 * width)


def test_a_convolutional_network_has_other_widths_for_weights_and_multiply_adds() -> None:
    """SynFlow keeps other layers than a thin network has, but each count comes as near as a width can."""
    model = ModelHparams(model="cifar_resnet_8_16")
    for measure in ("weights", "multiply_adds"):
        for wanted in (getattr(size_of(ModelHparams(model=f"cifar_resnet_8_{n}"), SHAPE), measure) for n in (3, 5)):
            name, size = equally_large(model, SHAPE, measure, wanted + 1)
            assert getattr(size, measure) == wanted
            assert size == size_of(ModelHparams(model=name), SHAPE)


def test_a_command_names_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tenth of 64 * 30 + 30 * 10 weights are 222, those of three units."""
    flags = ["--dataset=digits", "--model=mnist_lenet_30", "--training_steps=1ep", "--k=0", f"--root={tmp_path}"]
    assert main(["lottery", *flags, "--pruning_strategy=random", "--density=0.1"]) == 0
    capsys.readouterr()
    [run] = tmp_path.glob("lottery_*/replicate_1")
    assert main(["small_dense", str(run)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["level_1", "of", "mnist_lenet_30", "222", "222"] in lines
    assert ["weights", "mnist_lenet_3", "222", "222"] in lines
    assert ["multiply-adds", "mnist_lenet_3", "222", "222"] in lines


def test_the_full_network_alone_has_no_subnetwork(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--dataset=digits", "--model=mnist_lenet_30", "--training_steps=1ep", f"--root={tmp_path}"]
    assert main(["train", *flags]) == 0
    [run] = tmp_path.glob("train_*/replicate_1")
    capsys.readouterr()
    assert main(["small_dense", str(run)]) == 2
    assert "has no subnetwork" in capsys.readouterr().err
