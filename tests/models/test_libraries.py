"""Networks of torchvision and timm by their names there."""

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from models import ImageShape, ModelHparams, build, family, parse

GRAY, COLOUR = ImageShape(1, 32, 32, 7), ImageShape(3, 32, 32, 7)
SMALL = ("torchvision:shufflenet_v2_x0_5", "torchvision:squeezenet1_1", "timm:test_resnet", "timm:test_vit")


def network(name: str, shape: ImageShape, init: str = "kaiming_normal") -> nn.Module:
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    return build(ModelHparams(model=name, model_init=init), shape, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [GRAY, COLOUR, ImageShape(2, 64, 64, 3)], ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_channels_size_and_classes_are_those_of_the_data(name: str, shape: ImageShape) -> None:
    images = torch.rand(2, shape.channels, shape.height, shape.width)
    assert network(name, shape).eval()(images).shape == (2, shape.classes)


def test_auxiliary_outputs_are_left_out() -> None:
    model = network("torchvision:googlenet", COLOUR)
    assert isinstance(model.train()(torch.rand(2, 3, 32, 32)), torch.Tensor)


@pytest.mark.parametrize("name", ["torchvision:shufflenet_v2_x0_5", "timm:test_vit"])
def test_the_network_depends_on_the_generator_alone(name: str) -> None:
    first, second = network(name, GRAY, "own").state_dict(), network(name, GRAY, "own").state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_librarys_name_is_the_family() -> None:
    assert family("torchvision:resnet50") == "torchvision:resnet50"
    assert parse("timm:vit_tiny_patch16_224.augreg_in21k")[2] == ("vit_tiny_patch16_224.augreg_in21k",)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torchvision:resnet51", "did you mean 'torchvision:resnet50' or"),
        ("torchvision:vit_b_16", "its function failed for 1x30x30 with 7 classes: .*indivisible by patch size"),
        ("timm:convnext_ato", "did you mean 'timm:convnext_atto'"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        network(name, ImageShape(1, 30, 30, 7))
    assert str(refused.value).startswith(f"--model={name}: ")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["torchvison:resnet50", "timm:", "timm:hf-hub:someone/model", "torchvision:a/b"])
def test_other_names_are_refused_unread(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown model(; expected| \(did you mean 'torchvision:resnet50')"):
        ModelHparams(model=name)


def test_a_command_line_prunes_one(command, tmp_path) -> None:
    flags = ("--dataset=digits", "--subsample_fraction=0.1", "--training_steps=2it", "--k=0", "--batch_size=48")
    outcome = command(
        "lottery", "--model=torchvision:squeezenet1_1", "--pruning_strategy=snip", *flags, f"--root={tmp_path}"
    )
    assert outcome.code == 2
    assert "--model=torchvision:squeezenet1_1: a training step failed: " in outcome.err
    assert list(tmp_path.iterdir()) == []
    outcome = command(
        "lottery", "--model=torchvision:shufflenet_v2_x0_5", "--pruning_strategy=snip", *flags, f"--root={tmp_path}",
        "--density=0.7", "--compact",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("--compact: 1912 of the 3088 hidden channels of ShuffleNetV2 may go") == 1
