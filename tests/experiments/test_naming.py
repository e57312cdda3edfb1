"""What networks are called beside each other."""

from dataclasses import replace
from typing import Any

import pytest

from experiments.runs.naming import distinct, text
from foundations.steps import Step
from models import ModelHparams
from pruning import PruningHparams, strategies
from stability import StabilityDesc
from training.data import DataHparams
from training.hparams import TrainDesc, TrainingHparams

TRAINING = TrainingHparams(training_steps=Step("4ep"), lr=0.1, optimizer="momentum")


def network(name: str, strategy: dict[str, Any] | None = None, **training: Any) -> tuple[str, StabilityDesc]:
    """A base name with a descriptor, pruned by SynFlow or full."""
    train = TrainDesc(model=ModelHparams(), data=DataHparams(), training=replace(TRAINING, **training))
    if strategy is None:
        return name, StabilityDesc(train=train, strategy=None)
    return name, StabilityDesc(train=train, strategy=strategies.get("synflow")(**strategy), pruning=PruningHparams())


def names(*networks: tuple[str, StabilityDesc]) -> list[str]:
    return list(distinct({desc.key: (name, desc) for name, desc in networks}).values())


def test_a_name_that_no_other_has_needs_nothing_more() -> None:
    assert names(network("none"), network("snip", lr=0.2)) == ["none", "snip"]


def test_optimizers_need_no_name_beside_them() -> None:
    assert names(network("none", optimizer="sgd"), network("none"), network("synflow", {}, optimizer="sgd")) == [
        "none, sgd", "none, momentum", "synflow",
    ]  # fmt: skip


def test_namesakes_say_in_what_they_differ() -> None:
    assert names(network("none"), network("none", lr=0.01)) == ["none, lr = 0.1", "none, lr = 0.01"]
    assert names(network("none"), network("none", training_steps=Step("8ep"))) == [
        "none, training_steps = 4ep", "none, training_steps = 8ep",
    ]  # fmt: skip
    inputs = [network("synflow, 10%", {"synflow_input": word}) for word in ("ones", "mean")]
    assert names(*inputs) == ["synflow, 10%, synflow_input = ones", "synflow, 10%, synflow_input = mean"]


def test_a_grid_is_named_by_all_its_sides() -> None:
    grid = [network("none", optimizer=optimizer, lr=lr) for optimizer in ("sgd", "momentum") for lr in (0.1, 0.01)]
    assert names(*grid) == [
        "none, sgd, lr = 0.1", "none, sgd, lr = 0.01", "none, momentum, lr = 0.1", "none, momentum, lr = 0.01",
    ]  # fmt: skip


def test_what_tells_nobody_apart_any_more_is_left_out() -> None:
    assert names(network("none", optimizer="sgd", lr=0.01), network("none")) == ["none, sgd", "none, momentum"]


def test_numbers_that_look_alike_are_told_apart_by_their_keys() -> None:
    one, other = network("none"), network("none", lr=0.1 + 1e-12)
    assert names(one, other) == [f"none [{one[1].key[-4:]}]", f"none [{other[1].key[-4:]}]"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "none"), (True, "true"), (1 - 0.9, "0.1"), (Step("30ep"), "30ep"), ((Step("3"), Step("2it")), "3ep,2it")],
)
def test_values_are_shown_as_flags_take_them(value: Any, shown: str) -> None:
    assert text(value) == shown
