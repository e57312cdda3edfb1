"""Analyses from end to end: controls, and what is analysed."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foundations.steps import Step
from lottery import Level, LotteryDesc
from pruning import Mask, strategies
from stability import AnalysisAtK, StabilityDesc
from stability.children import Children
from stability.verdict import Barriers, Treatments
from tests.stability.trained import equal, tensors
from training.hparams import TrainDesc
from training.state import Noise

MakeRunner = Callable[..., AnalysisAtK]


# Controls ----------------------------------------------------------------------------------------------------------


def test_children_with_equal_noise_end_bit_identical_with_barrier_zero(
    tmp_path: Path, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Children, "noise", lambda self, number: Noise(self.trunk.seeds, child=(1,)))
    runner = make_runner(tmp_path, k="0ep")
    runner.compare()
    assert equal(tensors(runner, 1), tensors(runner, 2))
    result = runner.result()
    assert result.error_barrier == Barriers(test=Treatments(0, 0), train=Treatments(0, 0))
    [pair] = result.pairs
    assert (pair.l2, pair.angular, pair.disagreement) == (0, 0, 0)


def test_children_with_their_own_noise_are_two_networks(shared_root: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(shared_root)
    runner.compare()
    first, second = tensors(runner, 1), tensors(runner, 2)
    assert all(not torch.equal(first[name], second[name]) for name in first)
    assert runner.result().pairs[0].l2 > 0


def test_full_children_with_the_noise_of_the_trunk_end_where_it_ends(
    tmp_path: Path, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch, full: StabilityDesc
) -> None:
    monkeypatch.setattr(Children, "noise", lambda self, number: Noise(self.trunk.seeds))
    runner = make_runner(tmp_path, full, k="2ep")
    runner.compare()
    assert equal(tensors(runner, 1), runner.trunk.store.read_tensors("model_4ep0it.safetensors"))
    assert runner.result().accuracy_gap == 0


def test_k_at_the_end_gives_barrier_zero(shared_root: Path, make_runner: MakeRunner, full: StabilityDesc) -> None:
    runner = make_runner(shared_root, full, k="4ep")
    runner.compare()
    assert runner.result().test_barrier == 0
    assert runner.result().stable


def test_a_lenet_on_digits_is_stable_early(
    tmp_path: Path, make_runner: MakeRunner, train: TrainDesc, full: StabilityDesc
) -> None:
    """Frankle et al. 2020, section 3: LeNet on MNIST is stable from initialization on."""
    trained = replace(train, training=replace(train.training, training_steps=Step("12ep")))
    runner = make_runner(tmp_path, replace(full, train=trained), k="1ep")
    runner.compare()
    assert runner.result().learned
    assert runner.result().test_barrier < 0.02


def test_what_has_learned_nothing_is_not_stable(
    tmp_path: Path, make_runner: MakeRunner, train: TrainDesc, full: StabilityDesc
) -> None:
    trained = replace(train, training=replace(train.training, lr=1e-9))
    runner = make_runner(tmp_path, replace(full, train=trained), k="0ep")
    runner.compare()
    result = runner.result()
    assert result.test_barrier < result.threshold
    assert (result.learned, result.stable) == (False, False)


# What is analysed --------------------------------------------------------------------------------------------------


def test_instability_json_has_what_the_rows_say(shared_root: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(shared_root)
    runner.compare()
    result = runner.result()
    rows = list(csv.DictReader((runner.here / "interpolation.csv").open()))
    errors = [float(row["error"]) for row in rows if (row["split"], row["batchnorm"]) == ("test", "raw")]
    assert len(errors) == 5
    assert result.test_barrier == max(errors) - (errors[0] + errors[-1]) / 2
    assert result.child_error["test"] == [errors[0], errors[-1]]
    done = [runner.here.sub(f"child_{number}").result() for number in (1, 2)]
    assert result.child_error["test"] == [1 - one["test_accuracy"] for one in done]
    trunk = runner.trunk.store.result()
    assert result.accuracy_gap == trunk["test_accuracy"] - (1 - sum(errors[::4]) / 2)
    assert (result.k, result.strategy, result.density) == ("1ep0it", "adsynflow", pytest.approx(0.5, abs=1e-3))
    assert result.error_barrier_deviation.test.raw is None  # one pair has no standard deviation


def test_children_are_masked_from_k_to_the_end(shared_root: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(shared_root)
    runner.compare()
    mask = Mask.load(runner.here / "mask.safetensors")
    for child in (1, 2):
        weights = tensors(runner, child)
        assert all(not weights[name][~kept].any() for name, kept in mask.items())


def test_the_mask_is_that_of_a_lottery_run_with_the_same_k(
    shared_root: Path, make_runner: MakeRunner, pruned: StabilityDesc
) -> None:
    runner = make_runner(shared_root)
    lottery = LotteryDesc(train=pruned.train, strategy=pruned.strategy, pruning=pruned.pruning, k=Step("1ep"))
    level = Level(1, lottery, runner.trunk)
    level.prune()
    assert runner.mask() == Mask.load(level.run / "level_1" / "mask.safetensors")


def test_a_strategy_that_scores_at_the_end_prunes_the_trained_trunk(
    shared_root: Path, make_runner: MakeRunner, pruned: StabilityDesc
) -> None:
    assert pruned.pruning is not None
    desc = replace(pruned, strategy=strategies.get("sparse_global")(), pruning=replace(pruned.pruning, score_at="end"))
    early, late = (make_runner(shared_root, desc, k=k).mask() for k in ("0ep", "2ep"))
    assert early == late


def test_a_run_shares_its_directory_over_k_children_alphas_and_threshold(
    shared_root: Path, make_runner: MakeRunner, pruned: StabilityDesc
) -> None:
    stores = {make_runner(shared_root).store.path, make_runner(shared_root, k="7it", children=3, alphas=9).store.path}
    assert len(stores) == 1
    assert make_runner(shared_root, k="7it").here.path.name == "k_1ep2it"
    assert replace(pruned, perturb_hyperparameters=0.1).key != pruned.key
    assert replace(pruned, reset_optimizer=True).key != pruned.key


def test_perturbed_children_differ_in_lr_and_weight_decay_but_for_the_first(
    tmp_path: Path, make_runner: MakeRunner, pruned: StabilityDesc
) -> None:
    runner = make_runner(tmp_path, replace(pruned, perturb_hyperparameters=0.1), children=3)
    runner.compare()
    first, second, third = runner.result().children
    assert (first.lr, first.weight_decay) == (0.1, 5e-4)
    assert len({0.1, second.lr, third.lr}) == 3
    assert second.lr == pytest.approx(0.1, rel=0.5)
    unperturbed = make_runner(tmp_path)
    unperturbed.compare()
    assert equal(tensors(runner, 1), tensors(unperturbed, 1))
    assert not equal(tensors(runner, 2), tensors(unperturbed, 2))


def test_three_children_make_three_pairs_with_a_standard_deviation(tmp_path: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(tmp_path, children=3)
    runner.compare()
    result = runner.result()
    assert [pair.children for pair in result.pairs] == [(1, 2), (1, 3), (2, 3)]
    raw = [pair.error_barrier.test.raw for pair in result.pairs]
    assert result.test_barrier == pytest.approx(sum(raw) / 3)
    assert result.error_barrier_deviation.test.raw is not None


def test_instability_json_is_plain_json(shared_root: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(shared_root)
    runner.compare()
    json.loads((runner.here / "instability.json").read_text(), parse_constant=pytest.fail)


def test_replicates_share_nothing(shared_root: Path, make_runner: MakeRunner) -> None:
    one, other = make_runner(shared_root), make_runner(shared_root, replicate=2)
    one.compare()
    other.compare()
    assert not equal(tensors(one, 1), tensors(other, 1))


def test_the_trunk_is_trained_once_for_full_and_pruned_networks(
    tmp_path: Path, make_runner: MakeRunner, steps_taken: list[int], full: StabilityDesc, pruned: StabilityDesc
) -> None:
    make_runner(tmp_path, pruned, k="1ep").compare()
    assert len(steps_taken) == 20 + 2 * 15
    steps_taken.clear()
    make_runner(tmp_path, full, k="1ep").compare()
    assert len(steps_taken) == 2 * 15
