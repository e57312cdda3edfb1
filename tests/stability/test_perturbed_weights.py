"""Children of one SGD noise that a small perturbation of the weights sets apart."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foundations.errors import UsageError
from foundations.steps import Step
from pruning import strategies
from stability import AnalysisAtK, StabilityDesc
from stability.distances import flat
from tests.stability.trained import tensors
from training.loop import train

MakeRunner = Callable[..., AnalysisAtK]


def test_a_perturbation_has_the_size_asked_for_and_leaves_pruned_weights_at_zero(
    tmp_path: Path, make_runner: MakeRunner, pruned: StabilityDesc
) -> None:
    children = make_runner(tmp_path, replace(pruned, perturb_weights=1e-2)).children
    before, state = children.start(), children.start()
    children.perturb(2, state)
    names = [name for name, _ in state.model.named_parameters()]
    start = flat(before.model.state_dict(), names)
    moved = flat(state.model.state_dict(), names) - start
    assert float(moved.norm() / start.norm()) == pytest.approx(1e-2, rel=1e-3)
    assert state.mask is not None
    assert all(not state.model.get_parameter(name)[~kept].any() for name, kept in state.mask.items())
    again, other = children.start(), children.start()
    children.perturb(2, again)
    children.perturb(3, other)
    assert torch.equal(flat(again.model.state_dict(), names) - start, moved)
    assert not torch.equal(flat(other.model.state_dict(), names) - start, moved)


@pytest.mark.parametrize("at", [None, "1ep", "2ep3it"])
def test_children_are_trained_alike_but_for_the_perturbation(
    at: str | None, tmp_path: Path, make_runner: MakeRunner, pruned: StabilityDesc
) -> None:
    step = None if at is None else Step(at)
    runner = make_runner(tmp_path, replace(pruned, perturb_weights=1e-3, perturb_at=step))
    runner.compare()
    plain = make_runner(tmp_path)
    plain.train_child(1)
    trunk, hparams = runner.trunk, runner.desc.train.training
    by_hand = plain.children.start()
    by_hand.noise = plain.children.noise(1)
    train(by_hand, trunk.data, hparams, until=trunk.iteration(step or runner.k))
    runner.children.perturb(2, by_hand)
    train(by_hand, trunk.data, hparams, until=trunk.end)
    first, second = tensors(runner, 1), tensors(runner, 2)
    assert all(torch.equal(first[name], tensor) for name, tensor in tensors(plain, 1).items())
    assert all(torch.equal(second[name], tensor) for name, tensor in by_hand.model.state_dict().items())
    [pair] = runner.result().pairs
    assert pair.l2 > 0


def test_what_cannot_be_perturbed_is_refused(tmp_path: Path, make_runner: MakeRunner, pruned: StabilityDesc) -> None:
    with pytest.raises(UsageError, match=r"^--perturb_at=2ep: .* give --perturb_weights, such as 1e-3$"):
        make_runner(tmp_path, replace(pruned, perturb_at=Step("2ep")))
    for at in ("0ep", "4ep"):
        wrong = replace(pruned, perturb_weights=1e-3, perturb_at=Step(at))
        with pytest.raises(UsageError, match=rf"^--perturb_at={at}: expected a step from --k=1ep to before the end"):
            make_runner(tmp_path, wrong)
    changing = replace(pruned, strategy=strategies.get("set")(), perturb_weights=1e-3)
    with pytest.raises(UsageError, match=r"^--perturb_weights: the mask of --pruning_strategy=set changes"):
        make_runner(tmp_path, changing)
    assert list(tmp_path.iterdir()) == []
