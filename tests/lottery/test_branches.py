from collections.abc import Callable
from typing import Any

import pytest
import torch

from foundations.errors import UsageError
from foundations.steps import Step
from lottery.branch import LevelBranch, branches
from lottery.level import Ticket
from pruning import Mask

Experiment = Callable[..., Any]


@pytest.fixture
def original(experiment: Experiment) -> Ticket:
    """Level 1 of an experiment that keeps the larger half of the weights at k = 1 epoch."""
    runner = experiment()
    return runner.level(1).ticket()


def changed(original: Ticket, name: str, **hparams: Any) -> Ticket:
    return branches.get(name)(**hparams).start(original)


def kept(mask: Mask) -> list[int]:
    return [int(entry.sum()) for entry in mask.values()]


def same_weights(first: Ticket, second: Ticket) -> bool:
    pairs = zip(first.state.model.parameters(), second.state.model.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_shuffle_keeps_the_counts_of_layers_and_moves_the_places(original: Ticket) -> None:
    mask = changed(original, "shuffle").mask
    assert kept(mask) == kept(original.mask)
    assert mask != original.mask


def test_randomly_prune_keeps_the_density_of_layers_or_of_all(original: Ticket) -> None:
    by_layer = changed(original, "randomly_prune").mask
    overall = changed(original, "randomly_prune", scope="global").mask
    assert kept(by_layer) == kept(original.mask)
    assert overall.kept == original.mask.kept
    assert kept(overall) != kept(original.mask)


def test_invert_scores_keeps_what_the_level_prunes(original: Ticket) -> None:
    """Half of the weights are kept either way, so the two masks complement each other."""
    mask = changed(original, "invert_scores").mask
    assert all(torch.equal(mask[name], ~original.mask[name]) for name in mask)


def test_randomly_reinitialize_keeps_the_mask_and_draws_weights(original: Ticket) -> None:
    ticket = changed(original, "randomly_reinitialize")
    assert ticket.mask == original.mask
    assert not same_weights(ticket, original)
    assert ticket.state.iteration == original.state.iteration


@pytest.mark.parametrize(("batchnorm", "step"), [("start", "1ep"), ("trained", "2it")])
def test_transfer_signs_has_the_magnitudes_of_the_start_and_the_signs_of_the_end(
    experiment: Experiment, batchnorm: str, step: str
) -> None:
    runner = experiment(model="cifar_resnet_8_4")
    runner.run()
    level = runner.level(1)
    given = {} if step == "1ep" else {"start_step": Step(step)}
    ticket = changed(level.ticket(), "transfer_signs", batchnorm=batchnorm, **given)
    start, end = (
        runner.trunk.state_at(Step(step)).model.state_dict(),
        level.here.read_tensors(level.here.result()["model"]),
    )
    assert ticket.state.iteration == Step(step).iteration(runner.trunk.per_epoch)
    found, mask = ticket.state.model.state_dict(), level.mask()
    for name, kept_ones in mask.items():
        assert torch.equal(found[name][kept_ones], (start[name].abs() * end[name].sign())[kept_ones])
    assert any((start[name].sign() != end[name].sign())[kept_ones].any() for name, kept_ones in mask.items())
    norm = start if batchnorm == "start" else end
    assert torch.equal(found["bn1.running_mean"], norm["bn1.running_mean"])
    assert not torch.equal(start["bn1.running_mean"], end["bn1.running_mean"])
    assert torch.equal(found["fc.bias"], start["fc.bias"])


def test_rewind_starts_at_that_state_of_the_trunk(original: Ticket) -> None:
    ticket = changed(original, "rewind", start_step=Step("3it"))
    trunk = original.level.trunk.state_at(Step("3it"))
    assert ticket.mask == original.mask
    assert ticket.state.iteration == 3
    assert all(
        torch.equal(a, b) for a, b in zip(ticket.state.model.parameters(), trunk.model.parameters(), strict=True)
    )


def test_retrain_changes_what_is_given_and_nothing_else(original: Ticket) -> None:
    ticket = changed(original, "retrain", retrain_lr=0.01)
    assert ticket.training.lr == 0.01
    assert ticket.training.weight_decay == original.training.weight_decay
    assert ticket.mask == original.mask
    assert same_weights(ticket, original)


@pytest.mark.parametrize("name", [name for name in branches if name != "stability"])
def test_a_branch_leaves_what_a_level_leaves_and_runs_once(
    name: str, experiment: Experiment, steps_taken: list[int]
) -> None:
    lottery = experiment(levels=(1, 2))
    lottery.run()
    branch = branches.get(name)()
    trained = [LevelBranch(lottery.level(number), branch) for number in lottery.levels]
    for one in trained:
        one.train()
        here = one.here
        assert one.done
        assert here.path == one.level.here.path / branch.key
        assert {"mask.safetensors", "sparsity_report.json", "metrics.jsonl"} <= {
            path.name for path in here.path.iterdir()
        }
        final = here.read_tensors(here.result()["model"])
        assert all(not final[name][~mask].any() for name, mask in Mask.load(here / "mask.safetensors").items())
    steps_taken.clear()
    for one in trained:
        one.train()
    assert steps_taken == []


def test_arguments_are_in_the_key() -> None:
    randomly_prune = branches.get("randomly_prune")
    assert randomly_prune().key != randomly_prune(scope="global").key  # type: ignore[call-arg]
    assert randomly_prune().key.startswith("randomly_prune_")


def test_a_step_past_the_end_is_refused(experiment: Experiment) -> None:
    lottery = experiment()
    with pytest.raises(UsageError, match="--start_step=9ep: beyond --training_steps=3ep"):
        LevelBranch(lottery.level(1), branches.get("rewind")(start_step=Step("9ep"))).check()
