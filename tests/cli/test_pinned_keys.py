"""The keys of the shipped recipes, as they stand.

A run lies in a directory named by its key, so a change that alters one of these loses every run that users have made
with that recipe: they would be trained again. A new hyperparameter keeps the keys if it declares the value that means
what was done before, ``hp(default, absent=...)``. Only a change that makes the old results wrong may change a key.
"""

from typing import Any

import pytest

from cli.command_line import read_command

KEYS = {
    "--model=cifar_resnet_20": ("train_bdd42929ea04", "lottery_9ef855b699c5"),
    "--model=cifar_resnet_20 --recipe=open_lth": ("train_7e2e786c1948", "lottery_342dffeb6b1d"),
    "--model=cifar_resnet_20 --dataset=cifar100": ("train_57cb01183b25", "lottery_2295da4d6047"),
    "--model=cifar_resnet_20 --dataset=digits": ("train_a18e853a40f5", "lottery_a49282572b63"),
    "--model=cifar_vgg_16": ("train_85229d90b7bf", "lottery_d08092fc302e"),
    "--model=mnist_lenet_300_100": ("train_3f8018e46ac5", "lottery_e7bdc0b4c03d"),
    "--model=mnist_lenet_300_100 --dataset=digits": ("train_7ff6f77fcf7e", "lottery_f5ada67ea100"),
    "--model=cifar_resnet_20 --recipe=default": ("train_bf11da5cc224", "lottery_0a40698b546d"),
    "--model=cifar_resnet_20 --pruning_strategy=synflow": ("train_bdd42929ea04", "lottery_faf55fdcc1db"),
    "--model=cifar_resnet_20 --pruning_strategy=sparse_global": ("train_bdd42929ea04", "lottery_921988e9cdde"),
    "--model=cifar_resnet_20 --pruning_strategy=random": ("train_bdd42929ea04", "lottery_a751c212d253"),
    "--model=mnist_lenet_300_100 --recipe=lottery_ticket": ("train_42c98874caf7", "lottery_5f006404cc78"),
    "--model=mnist_lenet_300_100 --recipe=snip": ("train_effad81812c8", "lottery_814394941f83"),
    "--model=mnist_lenet_300_100 --recipe=linear_mode_connectivity": ("train_74b768fac180", "lottery_eb581f94a297"),
    "--model=cifar_vgg_16 --recipe=synflow": ("train_a93e82651663", "lottery_5e477b789e64"),
    "--model=cifar_resnet_20 --recipe=renda": ("train_e042e9efdf05", "lottery_d0c149552bde"),
    "--model=cifar_resnet_20 --recipe=linear_mode_connectivity": ("train_81d8f89b5042", "lottery_eafd0ce0e4f8"),
}


def keys(flags: str) -> tuple[str, str]:
    """The keys of trunk and lottery run; nothing is read or written."""
    line = read_command("lottery", flags.split())
    assert line is not None
    desc: Any = line.grid()[0].desc
    return desc.train.key, desc.key


@pytest.mark.parametrize("flags", KEYS)
def test_the_keys_of_a_shipped_recipe_stay(flags: str) -> None:
    assert keys(flags) == KEYS[flags]


def test_what_is_in_no_key() -> None:
    """Where and how a run is computed, and which part of it."""
    elsewhere = (
        " --root=/elsewhere --data_dir=/elsewhere --threads=2 --device=cpu --deterministic --quiet --replicate=3"
        " --levels=0-2 --allow_collapse --cuda_graphs=off"
    )
    assert keys("--model=cifar_resnet_20" + elsewhere) == keys("--model=cifar_resnet_20")


@pytest.mark.parametrize("flag", ["--k=5", "--pruning_fraction=0.5", "--synflow_input=ones", "--reset_optimizer"])
def test_what_a_lottery_run_depends_on_is_in_its_key_but_not_in_the_trunks(flag: str) -> None:
    plain, other = keys("--model=cifar_resnet_20"), keys(f"--model=cifar_resnet_20 {flag}")
    assert other[0] == plain[0]
    assert other[1] != plain[1]


@pytest.mark.parametrize(
    "flag", ["--lr=0.02", "--batch_size=64", "--precision=bf16", "--validation_fraction=0.1", "--normalization=unit",
             "--bias_init=zeros"]
)  # fmt: skip
def test_what_the_trunk_depends_on_is_in_both_keys(flag: str) -> None:
    plain, other = keys("--model=cifar_resnet_20"), keys(f"--model=cifar_resnet_20 {flag}")
    assert other[0] != plain[0]
    assert other[1] != plain[1]
