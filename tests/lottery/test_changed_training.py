"""Branches in detail: what retraining keeps of the optimizer, what inverting does to scores, what shuffling moves."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import pytest
import torch
from torch import nn

from foundations.errors import UsageError
from foundations.hparams import field_docs
from lottery.branch import LevelBranch, branches
from lottery.branch.ablations import inverted, shuffled
from lottery.branch.retraining import PREFIX, Retrain
from lottery.level import Ticket
from lottery.masks import find_mask
from pruning import Batches, Mask, PruningHparams, Strategy, prunable, prune
from training.hparams import TrainingHparams

Experiment = Callable[..., Any]


@pytest.fixture
def original(experiment: Experiment) -> Ticket:
    runner = experiment()
    return runner.level(1).ticket()


def momenta(ticket: Ticket) -> list[Any]:
    return [entry.get("momentum_buffer") for entry in ticket.state.optimizer.state_dict()["state"].values()]


def test_retrain_keeps_the_momentum_and_takes_the_new_weight_decay(original: Ticket) -> None:
    before = [buffer.clone() for buffer in momenta(original)]
    ticket = Retrain(retrain_weight_decay=0.5, retrain_momentum=0.1).start(original)
    [group] = ticket.state.optimizer.param_groups
    assert (group["weight_decay"], group["momentum"]) == (0.5, 0.1)
    assert all(torch.equal(a, b) for a, b in zip(momenta(ticket), before, strict=True))


def test_another_optimizer_starts_without_a_state(original: Ticket) -> None:
    ticket = Retrain(retrain_optimizer="adam").start(original)
    assert isinstance(ticket.state.optimizer, torch.optim.Adam)
    assert momenta(ticket) == []


def test_retrain_has_every_training_hyperparameter_with_its_limits_and_its_help() -> None:
    training = [item.name for item in fields(TrainingHparams) if item.name != "compile"]  # that stays the network's own
    assert [item.name for item in fields(Retrain)] == ["start_step", *(PREFIX + name for name in training)]
    docs = field_docs(TrainingHparams)
    assert [field_docs(Retrain)[PREFIX + name] for name in training] == [docs[name] for name in training]
    for flag, value in [("optimizer", "sdg"), ("lr", 0.0), ("precision", "fp8"), ("training_steps", "soon")]:
        with pytest.raises(UsageError, match=f"--{PREFIX}{flag}={value}: "):
            Retrain(**{PREFIX + flag: value})


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, "retrain_b90e49c9ecb3"),
        ({"retrain_lr": 0.01, "retrain_training_steps": "4ep"}, "retrain_e756d3a10004"),
        (
            {"retrain_optimizer": "adam", "retrain_milestone_steps": ("2ep", "3ep"), "retrain_precision": "bf16"},
            "retrain_a7127267a0f4",
        ),
    ],
)
def test_the_keys_of_retrain_stay(given: dict[str, Any], key: str) -> None:
    """A training hyperparameter that is new must not rename the directories of branches that were trained before."""
    assert Retrain(**given).key == key
    assert Retrain(**given, retrain_lr_schedule="cosine").key != key


def test_retraining_the_full_network_unchanged_ends_where_the_trunk_ends_bit_for_bit(experiment: Experiment) -> None:
    lottery = experiment(levels=(0,), k="1ep2it")
    lottery.run()
    retrained = LevelBranch(lottery.level(0), Retrain())
    retrained.train()
    final = "model_3ep0it.safetensors"
    trunk, branch = lottery.trunk.store.read_tensors(final), retrained.here.read_tensors(final)
    assert all(torch.equal(trunk[name], branch[name]) for name in trunk)


def test_retrain_may_not_end_before_it_starts(experiment: Experiment) -> None:
    lottery = experiment(k="2ep")
    with pytest.raises(UsageError, match="--retrain_training_steps=1ep: ends before --k=2ep"):
        LevelBranch(lottery.level(1), branches.get("retrain")(retrain_training_steps="1ep")).check()


# Inverted scores -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ByValue(Strategy):
    """The weights themselves are the scores."""

    mode = "train"
    factor: float = 1.0

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, torch.Tensor]:
        assert model.training
        return {name: self.factor * weight for name, weight in prunable(model).items()}


def test_inverted_scores_keep_exactly_the_lowest_zeros_included() -> None:
    model = nn.Sequential(nn.Linear(6, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 0.0, -1.0, 0.0, 2.0, 5.0]]))
    nothing = Batches([], [], torch.zeros(1, 1, 1))
    mask = prune(inverted(ByValue(factor=2.0)), model, nothing, PruningHparams(), 0.5, torch.Generator())
    assert mask["0.weight"].tolist() == [[False, True, True, True, False, False]]


# Shuffled masks ------------------------------------------------------------------------------------------------


def test_shuffling_moves_entries_within_a_group_and_leaves_other_layers() -> None:
    ten_of_twenty = torch.arange(20) < 10
    mask = Mask({"a": ten_of_twenty, "b": ~ten_of_twenty, "c": ten_of_twenty})
    apart = shuffled(mask, [["a"], ["b"]], torch.Generator().manual_seed(0))
    together = shuffled(mask, [["a", "b"]], torch.Generator().manual_seed(0))
    assert [int(apart[name].sum()) for name in "abc"] == [10, 10, 10]
    assert int(together["a"].sum() + together["b"].sum()) == 20
    for changed in (apart, together):
        assert not torch.equal(changed["a"], mask["a"])
        assert torch.equal(changed["c"], mask["c"])
    assert shuffled(mask, [["a"], ["b"]], torch.Generator().manual_seed(0)) == apart


# The mask of a strategy at k -----------------------------------------------------------------------------------


def test_the_mask_at_k_is_that_of_level_1(experiment: Experiment) -> None:
    runner = experiment("snip")
    desc = runner.desc
    network = runner.trunk.state_at(desc.k).model
    alone = find_mask(runner.trunk, desc.strategy, desc.pruning, network, 0.5)
    assert alone == runner.level(1).mask()
