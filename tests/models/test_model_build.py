"""From hyperparameters to a network: seeds, freezing, and networks of one's own."""

from itertools import product

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from models import ImageShape, ModelHparams, build, family, models
from models.factory import trained_weights

SHAPE = ImageShape(1, 8, 8, 3)


def network(seed: int = 0, **hparams: object) -> nn.Module:
    return build(ModelHparams(**hparams), SHAPE, torch.Generator().manual_seed(seed))


def equal(one: nn.Module, other: nn.Module) -> dict[str, bool]:
    theirs = dict(other.named_parameters())
    return {name: torch.equal(parameter, theirs[name]) for name, parameter in one.named_parameters()}


@pytest.mark.parametrize("name", ["cifar_resnet_8_4", "mnist_lenet_20_10"])
def test_the_generator_alone_decides(name: str) -> None:
    torch.manual_seed(1)
    one = network(model=name)
    torch.manual_seed(2)
    assert all(equal(one, network(model=name)).values())


@pytest.mark.parametrize("name", ["cifar_resnet_8_4", "mnist_lenet_20_10"])
def test_another_generator_changes_all_that_is_random(name: str) -> None:
    same = {
        parameter for parameter, unchanged in equal(network(model=name), network(1, model=name)).items() if unchanged
    }
    assert same == {parameter for parameter in same if ".bn" in f".{parameter}" and parameter.endswith("bias")}


def test_one_generator_used_twice_gives_two_networks() -> None:
    generator, hparams = torch.Generator().manual_seed(0), ModelHparams(model="mnist_lenet_5")
    assert not any(equal(build(hparams, SHAPE, generator), build(hparams, SHAPE, generator)).values())


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    network(model="cifar_resnet_8_4")
    assert torch.equal(torch.get_rng_state(), before)


def test_biases_keep_their_default_distribution() -> None:
    bias = network(model="mnist_lenet_4000").get_submodule("fc1").bias  # 64 inputs: uniform within 1/8
    assert bias.abs().max().item() == pytest.approx(1 / 8, rel=0.01)
    assert bias.var().item() == pytest.approx((1 / 8) ** 2 / 3, rel=0.1)


FLAGS = ("batchnorm_frozen", "output_frozen", "others_frozen")


@pytest.mark.parametrize("chosen", list(product([False, True], repeat=3)))
def test_frozen_parameters_ask_for_no_gradient(chosen: tuple[bool, bool, bool]) -> None:
    frozen = dict(zip(FLAGS, chosen, strict=True))
    for name, parameter in network(model="cifar_resnet_8_4", **frozen).named_parameters():
        layer = name.rpartition(".")[0].rpartition(".")[2]
        flag = {
            "bn": "batchnorm_frozen",
            "bn1": "batchnorm_frozen",
            "bn2": "batchnorm_frozen",
            "fc": "output_frozen",
        }
        assert parameter.requires_grad is not frozen[flag.get(layer, "others_frozen")], name


def test_freezing_changes_no_value() -> None:
    name = "cifar_resnet_8_4"
    assert all(equal(network(model=name), network(model=name, **dict.fromkeys(FLAGS, True))).values())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model_init": "he"}, "--model_init=he: .*kaiming_normal"),
        ({"batchnorm_init": "zeros"}, "--batchnorm_init=zeros: .*uniform"),
        ({"output_frozen": "yes"}, "--output_frozen=yes: "),
    ],
)
def test_other_values_are_refused(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ModelHparams(model="cifar_resnet_8", **wrong)


def test_hyperparameters_survive_json() -> None:
    hparams = ModelHparams(model="cifar_vgg_11", model_init="binary", output_frozen=True)
    assert ModelHparams.from_dict(hparams.to_dict()) == hparams


def linear(inputs: int = 64, outputs: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs))


def test_a_network_of_ones_own() -> None:
    @models.register("my_net")
    def my_net(shape: ImageShape) -> nn.Module:
        return linear(shape.channels * shape.height * shape.width, shape.classes)

    assert family("my_net") == "my_net"
    assert network(model="my_net")(torch.zeros(5, 1, 8, 8)).shape == (5, 3)
    with pytest.raises(UsageError, match=r"unknown model \(did you mean 'my_net'\?\)"):
        ModelHparams(model="mynet")
    with pytest.raises(UsageError, match="output_frozen=true: my_net has no output layer called 'fc'"):
        network(model="my_net", output_frozen=True)


def test_a_family_of_ones_own() -> None:
    @models.register("wide_<width=2n+2>[_<depth>]")
    def wide(shape: ImageShape, width: int, depth: int = 1) -> nn.Module:
        hidden = [nn.Linear(width, width) for _ in range(depth)]
        return nn.Sequential(nn.Flatten(), nn.Linear(64, width), *hidden, nn.Linear(width, shape.classes))

    assert len(network(model="wide_4_3")) == 6
    with pytest.raises(UsageError, match="did you mean 'wide_4' or 'wide_6'"):
        ModelHparams(model="wide_5")


def test_a_network_of_ones_own_stays_as_its_code_builds_it_under_the_replicates_seed() -> None:
    @models.register("drawn")
    def drawn(shape: ImageShape) -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), linear(4 * 36))

    torch.manual_seed(7)
    one, again, other = (dict(network(seed, model="drawn").named_parameters()) for seed in (0, 0, 1))
    torch.manual_seed(7)
    assert torch.equal(one["0.weight"], again["0.weight"])
    assert not torch.equal(one["0.weight"], other["0.weight"])
    assert one["0.weight"].abs().max() <= 1 / 3  # PyTorch's default: uniform within 1 / sqrt(9)
    assert one["1.weight"].eq(1).all()  # and no uniform scale of BatchNorm
    assert ModelHparams(model="drawn").model_init == ModelHparams(model="drawn").batchnorm_init == "own"
    assert ModelHparams(model="cifar_resnet_8").model_init == "kaiming_normal"
    drawn_anew = network(model="drawn", model_init="binary", batchnorm_init="uniform")
    assert drawn_anew[0].weight.abs().unique().numel() == 1
    assert not drawn_anew[1].weight.eq(1).all()
    assert trained_weights(ModelHparams(model="drawn"), SHAPE) == ""


def test_trained_weights_are_kept_and_known_by_two_seeds() -> None:
    learned = torch.arange(192.0).view(3, 64)

    @models.register("learned")
    def with_weights(shape: ImageShape) -> nn.Module:
        model = linear()
        model[1].load_state_dict({"weight": learned, "bias": torch.ones(3)})
        return model

    assert torch.equal(network(model="learned")[1].weight, learned)
    said = "learned comes with trained weights, the same under two seeds, in 1 layers: they "
    assert trained_weights(ModelHparams(model="learned"), SHAPE) == said + "are kept; --model_init draws others"
    assert trained_weights(ModelHparams(model="learned", model_init="binary"), SHAPE) == said + "give way to binary"


def test_initial_values_of_a_computed_weight_are_refused_by_name() -> None:
    normed = nn.utils.parametrizations.weight_norm
    models.register("normed")(lambda shape: nn.Sequential(nn.Flatten(), normed(nn.Linear(64, shape.classes))))
    assert network(model="normed")
    with pytest.raises(UsageError, match="--model_init=binary: layer '1' computes its weight; use --model_init=own"):
        network(model="normed", model_init="binary")
