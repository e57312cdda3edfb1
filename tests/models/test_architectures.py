"""The networks that come with the project: sizes, shapes and the properties that pruning relies on."""

from itertools import product

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from models import ImageShape, ModelHparams, build

CIFAR = ImageShape(3, 32, 32, 10)
MNIST = ImageShape(1, 28, 28, 10)
DIGITS = ImageShape(1, 8, 8, 10)
SMALL = ("cifar_resnet_8_4", "cifar_vgg_11", "mnist_lenet_30_20", "mlp1d_8", "conv2", "conv6", "tiny_resnet_18_4")


def network(name: str, shape: ImageShape = CIFAR) -> nn.Module:
    hparams = ModelHparams(model=name, batchnorm_init="ones")
    return build(hparams, shape, torch.Generator().manual_seed(0))


def images(shape: ImageShape, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, shape.channels, shape.height, shape.width, generator=generator)


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(
    ("name", "shape", "published"),
    [
        ("cifar_resnet_20", CIFAR, 272_474),
        ("cifar_resnet_56", CIFAR, 855_770),
        ("cifar_resnet_110", CIFAR, 1_730_714),
        ("mnist_lenet_300_100", MNIST, 266_610),
        ("conv2", CIFAR, 4_301_642),  # Zhou et al. 2019, arXiv 1905.01067, appendix
        ("conv4", CIFAR, 2_425_930),
        ("conv6", CIFAR, 2_262_602),
        ("tiny_resnet_18", CIFAR, 11_173_962),  # as many as torchvision's resnet18 with that stem and ten classes
    ],
)
def test_trainable_parameters_as_published(name: str, shape: ImageShape, published: int) -> None:
    assert size(network(name, shape)) == published


@pytest.mark.parametrize(
    ("depth", "width", "shape"), [(8, 4, DIGITS), (14, 16, CIFAR), (20, 5, ImageShape(2, 9, 7, 3))]
)
def test_resnet_has_the_size_of_its_formula(depth: int, width: int, shape: ImageShape) -> None:
    more_blocks = (depth - 2) // 6 - 1
    batchnorm = 2

    def stage(c_in: int, c: int) -> int:
        first = 9 * c_in * c + 9 * c * c + 2 * batchnorm * c
        shortcut = c_in * c + batchnorm * c if c_in != c else 0
        return first + shortcut + more_blocks * (18 * c * c + 2 * batchnorm * c)

    stem = 9 * shape.channels * width + batchnorm * width
    stages = stage(width, width) + stage(width, 2 * width) + stage(2 * width, 4 * width)
    head = 4 * width * shape.classes + shape.classes
    assert size(network(f"cifar_resnet_{depth}_{width}", shape)) == stem + stages + head


def test_the_width_is_16_unless_given() -> None:
    assert size(network("cifar_resnet_14")) == size(network("cifar_resnet_14_16"))


# Convolution weights of the original (torchvision's vgg*().features without its biases).
@pytest.mark.parametrize(("depth", "weights", "units"), [(11, 9_217_728, 2752), (16, 14_710_464, 4224)])
def test_vgg_has_the_original_convolutions(depth: int, weights: int, units: int) -> None:
    model = network(f"cifar_vgg_{depth}")
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == depth - 3
    assert sum(layer.weight.numel() for layer in convolutions) == weights
    assert size(model) == weights + 2 * units + 512 * 10 + 10


SHAPES = (CIFAR, DIGITS, ImageShape(1, 1, 1, 2), ImageShape(4, 5, 33, 100), ImageShape(3, 64, 48, 1))


@pytest.mark.parametrize(("name", "shape"), list(product(SMALL, SHAPES)), ids=str)
def test_any_image_size_channels_and_classes(name: str, shape: ImageShape) -> None:
    model = network(name, shape).eval()
    assert model(images(shape)).shape == (2, shape.classes)
    assert model.get_submodule("fc").weight.shape[0] == shape.classes


@pytest.mark.parametrize(("side", "poolings"), [(32, 4), (16, 4), (8, 3), (3, 1), (1, 0)])
def test_vgg_leaves_out_poolings_that_no_longer_fit(side: int, poolings: int) -> None:
    model = network("cifar_vgg_11", ImageShape(1, side, side, 10))
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in model.modules()) == poolings


@pytest.mark.parametrize("numbers", [(0, 8, 8, 10), (1, 0, 8, 10), (1, 8, -1, 10), (1, 8, 8, 0)])
def test_an_empty_image_or_no_class_is_refused(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="must be at least 1"):
        ImageShape(*numbers)


@pytest.mark.parametrize("name", SMALL)
def test_positively_homogeneous_but_for_shifts(name: str) -> None:
    model = network(name, DIGITS).double().eval()  # fresh BatchNorm has mean 0 and shift 0
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None:
                layer.bias.zero_()
        x = images(DIGITS).double()
        once, thrice = model(x), model(3 * x)
    assert once.abs().max() > 0
    torch.testing.assert_close(thrice, 3 * once)


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_is_trained(name: str) -> None:
    model = network(name)
    model(images(CIFAR, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", ["cifar_resnet_8_4", "cifar_vgg_11"])
def test_channels_last_gives_the_same_outputs(name: str) -> None:
    model, x = network(name).eval(), images(CIFAR)
    with torch.no_grad():
        expected = model(x)
        last = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_traced_as_one_graph(name: str) -> None:
    """``torch.export`` fails wherever ``torch.compile`` would have to break the graph."""
    program = torch.export.export(network(name, DIGITS).eval(), (images(DIGITS),))
    model = network(name, DIGITS).eval()
    torch.testing.assert_close(program.module()(images(DIGITS)), model(images(DIGITS)))
