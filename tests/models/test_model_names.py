"""What a model may be called, and what is said of other names."""

import pytest

from foundations.errors import UsageError
from models import ModelHparams, family, models, parse
from models.registry import Pattern


@pytest.mark.parametrize(
    ("name", "prefix", "numbers"),
    [
        ("cifar_resnet_20", "cifar_resnet", (20,)),
        ("cifar_resnet_20_64", "cifar_resnet", (20, 64)),
        ("cifar_vgg_16", "cifar_vgg", (16,)),
        ("mnist_lenet_300", "mnist_lenet", (300,)),
        ("mnist_lenet_300_100_50", "mnist_lenet", (300, 100, 50)),
    ],
)
def test_a_name_is_a_family_and_numbers(name: str, prefix: str, numbers: tuple[int, ...]) -> None:
    assert family(name) == prefix
    assert parse(name)[2] == numbers
    assert ModelHparams(model=name).model == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "cifar_resnet_21",
            "depth must be 6n+2 (8, 14, 20, 26, 32, ...); did you mean 'cifar_resnet_20' or 'cifar_resnet_26'?",
        ),
        ("cifar_resnet_2", "did you mean 'cifar_resnet_8'?"),
        ("cifar_resnet_21_32", "did you mean 'cifar_resnet_20_32' or 'cifar_resnet_26_32'?"),
        ("cifar_resnet_20_0", "width must be a number from 1 to 99999; did you mean 'cifar_resnet_20_1'?"),
        ("cifar_resnet_20_100000", "did you mean 'cifar_resnet_20_99999'?"),
        ("cifar_resnet_20_16_16", "more numbers than there are places for"),
        (
            "cifar_vgg_12",
            "depth must be one of 11, 13, 16, 19; did you mean 'cifar_vgg_11' or 'cifar_vgg_13'?",
        ),
        ("cifar_vgg", "the depth is missing; expected cifar_vgg_<depth=11|13|16|19>"),
        ("mnist_lenet", "the width is missing; expected mnist_lenet_<width>[_<width>]..."),
        ("cifar_resnet20", "unknown model (did you mean 'cifar_resnet_20'?); valid: cifar_resnet_<"),
        ("resnet20", "did you mean 'cifar_resnet_20'?"),
        ("resnet_18", "did you mean 'cifar_resnet_14' or 'cifar_resnet_20'?"),
        ("vgg16", "did you mean 'cifar_vgg_16'?"),
        ("lenet_300_100", "did you mean 'mnist_lenet_300_100'?"),
        ("CIFAR_ResNet_20", "did you mean 'cifar_resnet_20'?"),
        ("cifar_resnet_020", "did you mean 'cifar_resnet_20'?"),  # one network, one key
        ("cifar_resnet_20_", "did you mean 'cifar_resnet_20'?"),
        ("transformer", "unknown model; valid: cifar_resnet_<depth=6n+2>[_<width>], cifar_vgg_<"),
        ("", "unknown model; valid: "),
        ("cifar_resnet_" + "9" * 5000, "unknown model"),
    ],
)
def test_other_names_are_refused_in_one_line(name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        ModelHparams(model=name)
    assert str(caught.value).startswith(f"--model={name}"[:100])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_suggestion_is_a_name() -> None:
    pattern = Pattern.parse("net_<depth=6n+2>[_<width=2|4>]...")
    for numbers in [(1,), (21,), (20, 3), (21, 3, 5), (99_999, 0)]:
        suggestions = pattern.suggestions(numbers)
        assert suggestions
        assert not any(pattern.problem(pattern.numbers(name) or ()) for name in suggestions)


@pytest.mark.parametrize(
    "text",
    ["", "my net", "net<depth>", "net_<>", "net_<n=6m>", "net[_<n>]_<m>", "net[_<n>]...[_<m>]", "n_[<d>]"],
)
def test_a_malformed_pattern_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"write for example|expected one such as|after an optional number"):
        models.register(text)


@pytest.mark.parametrize(
    "text",
    ["cifar_resnet_20", "cifar_resnet", "cifar_resnet_<n>", "cifar_vgg_<depth=11|13|16|19>", "cifar_vgg_99"],
)
def test_a_name_cannot_mean_two_networks(text: str) -> None:
    with pytest.raises(UsageError, match="clashes with 'cifar_"):
        models.register(text)
