"""What the shipped recipes hold, and which of them a model on a data set gets."""

import pytest

from foundations.errors import UsageError
from foundations.steps import Step
from training.recipes import default_dataset, find_recipe


def test_the_thesis_recipe_has_the_thesis_values() -> None:
    """Bolwerk 2021: lr 0.01, x0.2 at epochs 60 and 120, weight decay 5e-4, 160 epochs, batches of 128, k = 30."""
    assert find_recipe("cifar_resnet_20", "cifar10", None) == {
        "lr": 0.01,
        "milestone_steps": (Step("60ep"), Step("120ep")),
        "gamma": 0.2,
        "weight_decay": 5e-4,
        "training_steps": Step("160ep"),
        "batch_size": 128,
        "optimizer": "momentum",
        "batchnorm_init": "ones",
        "k": Step("30ep"),
    }


@pytest.mark.parametrize(
    ("model", "lr", "iterations"), [("conv2", 2e-4, 20_000), ("conv4", 3e-4, 25_000), ("conv6", 3e-4, 30_000)]
)
def test_the_lottery_ticket_papers_convolutional_networks_have_its_recipe(model, lr, iterations) -> None:
    values = find_recipe(model, "cifar10", "lottery_ticket")
    assert values == find_recipe(model, "cifar10", None)
    assert (values["optimizer"], values["lr"], values["batch_size"]) == ("adam", lr, 60)
    assert (values["model_init"], values["training_steps"]) == ("xavier_normal", Step(f"{iterations}it"))


@pytest.mark.parametrize(
    ("model", "dataset", "name", "lr", "epochs"),
    [
        ("cifar_resnet_20", "cifar10", None, 0.01, 160),  # of just this pair: the thesis's
        ("cifar_resnet_56_32", "cifar10", None, 0.01, 160),  # a recipe is the family's
        ("cifar_resnet_20", "cifar10", "open_lth", 0.1, 160),
        ("cifar_resnet_20", "digits", None, 0.05, 20),  # the data set's goes before the model's
        ("cifar_resnet_20", "digits", "open_lth", 0.1, 160),
        ("cifar_resnet_20", "cifar100", None, 0.1, 160),  # the model's on any data set
        ("cifar_vgg_16", "cifar10", None, 0.1, 160),
        ("imagenet_resnet_50", "imagenet", None, 0.4, 90),
        ("mnist_lenet_300_100", "mnist", None, 0.1, 40),
        ("mnist_lenet_300_100", "mnist", "default", 0.05, 40),
        ("cifar_vgg_16", "cifar100", "synflow", 0.1, 160),
        ("cifar_resnet_20", "cifar10", "renda", 0.1, 182),
        ("cifar_resnet_20", "cifar10", "budget", 0.1, 70),
    ],
)
def test_the_recipe_of_a_pair(model: str, dataset: str, name: str | None, lr: float, epochs: int) -> None:
    values = find_recipe(model, dataset, name)
    assert (values["lr"], values["training_steps"]) == (lr, Step(epochs))


def test_the_lottery_ticket_recipe_has_the_papers_values() -> None:
    """Frankle & Carbin 2019: Adam 1.2e-3, batches of 60, 50,000 iterations, 5,000 images held out, by layer 20%, output
    layer 10%."""
    values = find_recipe("mnist_lenet_300_100", "mnist", "lottery_ticket")
    assert round(60_000 * values["validation_fraction"]) == 5_000
    expected = {
        "optimizer": "adam", "lr": 1.2e-3, "batch_size": 60, "training_steps": Step("50000it"), "k": Step("0ep"),
        "model_init": "xavier_normal", "bias_init": "zeros", "normalization": "unit",
        "pruning_strategy": "sparse_layerwise", "pruning_fraction": 0.2, "layer_fractions": ("fc:0.1",),
    }  # fmt: skip
    assert {name: value for name, value in values.items() if name != "validation_fraction"} == expected


def test_linear_mode_connectivity_of_all_three_networks() -> None:
    steps = {"mnist_lenet_300_100": ("24000it", "0ep"), "cifar_resnet_20": ("63000it", "2000it"),
             "cifar_vgg_16": ("63000it", "1000it")}  # fmt: skip
    for model, (length, k) in steps.items():
        values = find_recipe(model, default_dataset(model), "linear_mode_connectivity")
        assert (values["training_steps"], values["k"]) == (Step(length), Step(k))


def test_every_recipe_says_where_pre_training_ends() -> None:
    """Without it a strategy that prunes after pre-training had no k."""
    for model in ("cifar_resnet_20", "cifar_vgg_16", "mnist_lenet_300_100"):
        for dataset in ("cifar10", "digits", "image_folder:mine"):
            values = find_recipe(model, dataset, None)
            assert 0 < values["k"].iteration(400) < values["training_steps"].iteration(400)


def test_an_unknown_recipe_names_the_pairs_own() -> None:
    with pytest.raises(
        UsageError,
        match=r"--recipe=open_lht: no such recipe for cifar_resnet_20 on cifar10 \(did you mean 'open_lth'\?\); "
        r"valid: budget, default, linear_mode_connectivity, open_lth, renda, thesis",
    ):
        find_recipe("cifar_resnet_20", "cifar10", "open_lht")


def test_a_recipe_of_another_pair_is_none_of_this_one() -> None:
    with pytest.raises(UsageError, match="--recipe=thesis: no such recipe for cifar_vgg_16 on cifar10"):
        find_recipe("cifar_vgg_16", "cifar10", "thesis")


@pytest.mark.parametrize(
    ("model", "dataset"),
    [("mnist_lenet_300_100", "mnist"), ("cifar_resnet_20", "cifar10"), ("cifar_vgg_16", "cifar10"),
     ("imagenet_resnet_50", "imagenet")],
)
def test_a_model_has_a_data_set_of_its_own(model: str, dataset: str) -> None:
    assert default_dataset(model) == dataset
