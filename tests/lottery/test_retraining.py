"""Retraining other than by rewinding weights, against a loop of plain PyTorch."""

import itertools
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cli import main
from foundations.errors import UsageError
from foundations.interruption import Interrupted
from foundations.steps import Step
from lottery.branch import LevelBranch, branches
from lottery.desc import at_last_rate, state_of_the_end
from pruning import Mask
from tests.lottery.conftest import Levels
from tests.steps import Steps
from training.hparams import TrainingHparams
from training.state import TrainState
from training.trunk import Trunk

Experiment = Callable[..., Levels]
END = "model_3ep0it.safetensors"


def retraining(experiment: Experiment, way: str, levels: tuple[int, ...] = (1,), **training: Any) -> Levels:
    """Iterative magnitude pruning with k = 1 epoch of 3."""
    runner = experiment("sparse_global", levels, k="1ep")
    train = replace(runner.desc.train, training=replace(runner.desc.train.training, **training))
    desc = replace(runner.desc, retrain=way, train=train)
    return Levels(desc, 1, runner.data, runner.context, levels=levels)


def by_hand(trunk: Trunk, weights: dict[str, Tensor], mask: Mask, rate: Callable[[int], float]) -> nn.Module:
    """The network of the end, masked, trained from k to the end with a fresh optimizer."""
    model, noise, data = trunk.fresh().model.train(), trunk.fresh().noise, trunk.data
    model.load_state_dict(weights)
    mask.apply_(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3, fused=True)
    iteration = trunk.per_epoch
    for epoch in (1, 2):
        for inputs, labels in map(data.fetch, data.batches(noise.epoch(epoch), 0, trunk.per_epoch)):
            optimizer.param_groups[0]["lr"] = rate(iteration)
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            mask.apply_(model)
            iteration += 1
    return model


def assert_same(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    assert all(torch.equal(value, tensors[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("way", ["rewind_lr", "finetune"])
def test_both_are_a_loop_from_the_weights_of_the_end(experiment: Experiment, way: str) -> None:
    """The learning rate falls to a tenth after two epochs of three: with its rewinding there is one epoch at either."""
    runner = retraining(experiment, way, levels=(2,), milestone_steps=(Step("2ep"),))
    runner.run()
    trunk = runner.trunk

    def rate(iteration: int) -> float:
        return 0.1 if way == "rewind_lr" and iteration < 2 * trunk.per_epoch else 0.1 * 0.1

    before = trunk.store.read_tensors(END)
    for number in (1, 2):
        level = runner.level(number)
        here = level.here.read_tensors(END)
        assert_same(by_hand(trunk, before, level.mask(), rate), here)
        before = here


@pytest.mark.parametrize("way", ["rewind_weights", "rewind_lr"])
def test_fresh_noise_gives_each_level_another_data_order(experiment: Experiment, way: str) -> None:
    asked = retraining(experiment, way, levels=(1, 2))
    levels = Levels(replace(asked.desc, fresh_noise=True), 1, asked.data, asked.context, levels=(1, 2))
    levels.run()
    noises = [levels.level(number).ticket().state.noise for number in (1, 2)]
    orders = [torch.randperm(100, generator=noise.epoch(1).order) for noise in (levels.trunk.fresh().noise, *noises)]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(orders, 2))
    assert levels.desc.key != asked.desc.key


def test_the_mask_of_the_first_level_is_that_of_rewinding(experiment: Experiment) -> None:
    runners = [retraining(experiment, way) for way in ("rewind_weights", "rewind_lr", "finetune")]
    assert len({runner.desc.key for runner in runners}) == 3
    assert len({runner.trunk.desc.key for runner in runners}) == 1
    for runner in runners:
        runner.run()
    masks = [runner.level(1).mask() for runner in runners]
    assert masks[0] == masks[1] == masks[2]


@pytest.mark.parametrize("capture", [True, False])
def test_it_is_replayed_as_cuda_graphs_only_where_that_is_allowed(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, capture: bool
) -> None:
    runner, asked = retraining(experiment, "finetune"), []
    fresh = TrainState.fresh
    trunk = Trunk(runner.trunk.desc, 1, runner.data, replace(runner.context, cuda_graphs=capture))
    monkeypatch.setattr(TrainState, "fresh", lambda *some, capture=None: asked.append(capture) or fresh(*some))
    state_of_the_end(runner.trunk.fresh().model, trunk, Step("1ep"))
    assert asked[-1] is capture


def test_the_last_rate_is_that_of_the_last_step_of_any_schedule() -> None:
    cosine = TrainingHparams(lr=0.4, training_steps=Step("10it"), lr_schedule="cosine", warmup_steps=Step("2it"))
    found = at_last_rate(cosine, 5)
    assert found.lr == pytest.approx(0.4 * (1 + torch.cos(torch.tensor(torch.pi * 7 / 8)).item()) / 2)
    assert (found.lr_schedule, found.milestone_steps, found.warmup_steps.iteration(5)) == ("step", (), 0)


def test_it_is_refused_for_what_prunes_the_network_of_k(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--dataset=digits", "--model=mnist_lenet_16", "--pruning_strategy=snip", f"--root={tmp_path / 'runs'}"]
    assert main(["lottery", *flags, "--retrain=rewind_lr"]) == 2
    said = "--retrain=rewind_lr: goes on with a trained network, but --pruning_strategy=snip prunes that of step k"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_cyclic_repeats_the_schedule_from_the_weights_of_the_cycle_before(experiment: Experiment) -> None:
    """Three cycles: the level's own, and two more loops of plain PyTorch with a fresh optimizer each."""
    runner = experiment("magnitude", k="1ep")
    training = replace(runner.desc.train.training, milestone_steps=(Step("2ep"),))
    desc = replace(runner.desc, train=replace(runner.desc.train, training=training))
    runner = Levels(desc, 1, runner.data, runner.context, levels=(1,))
    runner.run()
    level, trunk = runner.level(1), runner.trunk
    branch = LevelBranch(level, branches.get("cyclic")(cycles=3))
    branch.train()
    tensors = level.here.read_tensors(END)
    for here in (branch.here.sub("cycle_2"), branch.here):
        model = by_hand(trunk, tensors, level.mask(), lambda step: 0.1 if step < 2 * trunk.per_epoch else 0.01)
        tensors = here.read_tensors(END)
        assert_same(model, tensors)
    assert branch.here.result()["density"] == level.mask().density
    own, *cycles = (
        here.read_json("sparsity_report.json")["training_multiply_adds"]
        for here in (level.here, branch.here.sub("cycle_2"), branch.here)
    )
    assert [cycle["subnetwork"] for cycle in cycles] == [2 * own["subnetwork"], 3 * own["subnetwork"]]
    assert cycles[1]["total"] == own["pretraining"] + 3 * own["subnetwork"]


def test_cycles_that_are_done_are_not_trained_again(experiment: Experiment, steps: Steps) -> None:
    runner = experiment("magnitude", k="1ep")
    runner.run()
    branch = LevelBranch(runner.level(1), branches.get("cyclic")(cycles=3))
    interruption = runner.context.interruption

    def ask(state: TrainState) -> None:
        if len(steps.taken) == 12:
            interruption.signal = signal.SIGTERM

    steps.taken.clear()
    steps.before.append(ask)
    with pytest.raises(Interrupted):
        branch.train()
    steps.before.remove(ask)
    interruption.signal = None
    assert branch.here.sub("cycle_2").done
    assert not branch.done
    done = len(steps.taken)
    branch.train()
    assert branch.done
    assert len(steps.taken) == 20
    assert done < 20


def test_a_mask_that_changes_has_no_cycles(experiment: Experiment) -> None:
    with pytest.raises(UsageError, match="cyclic: the mask of --pruning_strategy=rigl changes in training"):
        LevelBranch(experiment("rigl").level(1), branches.get("cyclic")()).check()
