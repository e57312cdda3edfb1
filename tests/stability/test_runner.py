"""Analyses from end to end: controls, resuming, and what the user is told."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foundations.errors import UsageError
from foundations.steps import Step
from foundations.store import Store
from lottery import LotteryDesc, LotteryRunner
from pruning import Mask, strategies
from stability import StabilityDesc, StabilityRunner
from stability.children import Children
from training.desc import TrainDesc
from training.state import Noise

MakeRunner = Callable[..., StabilityRunner]
Contents = Callable[[Path], dict[str, tuple[int, bytes]]]


def tensors(runner, child: int) -> dict[str, torch.Tensor]:
    return runner.here.sub(f"child_{child}").read_tensors("model_4ep0it.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the iteration of each optimizer step."""
    from training import loop

    taken: list[int] = []
    real = loop.step

    def step(state, *rest) -> None:
        taken.append(state.iteration)
        real(state, *rest)

    monkeypatch.setattr(loop, "step", step)
    return taken


# Controls ----------------------------------------------------------------------------------------------------------


def test_children_with_equal_noise_end_bit_identical_with_barrier_zero(
    tmp_path: Path, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Children, "noise", lambda self, number: Noise(self.seeds, child=(1,)))
    runner = make_runner(tmp_path, k="0ep")
    runner.run()
    assert equal(tensors(runner, 1), tensors(runner, 2))
    result = runner.result()
    assert result["error_barrier"] == {split: {"raw": 0, "recalculated": 0} for split in ("test", "train")}
    pair = result["pairs"][0]
    assert (pair["l2"], pair["angular"], pair["disagreement"]) == (0, 0, 0)


def test_children_with_their_own_noise_are_two_networks(shared_root: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(shared_root)
    runner.run()
    first, second = tensors(runner, 1), tensors(runner, 2)
    assert all(not torch.equal(first[name], second[name]) for name in first)
    assert runner.result()["pairs"][0]["l2"] > 0


def test_full_children_with_the_noise_of_the_trunk_end_where_it_ends(
    tmp_path: Path, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch, full: StabilityDesc
) -> None:
    monkeypatch.setattr(Children, "noise", lambda self, number: Noise(self.seeds))
    runner = make_runner(tmp_path, full, k="2ep")
    runner.run()
    assert equal(tensors(runner, 1), runner.trunk.store.read_tensors("model_4ep0it.safetensors"))
    assert runner.result()["accuracy_gap"] == 0


def test_k_at_the_end_gives_barrier_zero(shared_root: Path, make_runner: MakeRunner, full: StabilityDesc) -> None:
    runner = make_runner(shared_root, full, k="4ep")
    runner.run()
    assert runner.result()["error_barrier"]["test"]["raw"] == 0
    assert runner.result()["stable"]


def test_a_lenet_on_digits_is_stable_early(
    tmp_path: Path, make_runner: MakeRunner, train: TrainDesc, full: StabilityDesc
) -> None:
    """Frankle et al. 2020, section 3: LeNet on MNIST is stable from initialization on."""
    trained = replace(train, training=replace(train.training, training_steps=Step("12ep")))
    runner = make_runner(tmp_path, replace(full, train=trained), k="1ep")
    runner.run()
    assert runner.result()["learned"]
    assert runner.result()["error_barrier"]["test"]["raw"] < 0.02


def test_what_has_learned_nothing_is_not_stable(
    tmp_path: Path, make_runner: MakeRunner, train: TrainDesc, full: StabilityDesc
) -> None:
    trained = replace(train, training=replace(train.training, lr=1e-9))
    runner = make_runner(tmp_path, replace(full, train=trained), k="0ep")
    runner.run()
    result = runner.result()
    assert result["error_barrier"]["test"]["raw"] < result["threshold"]
    assert (result["learned"], result["stable"]) == (False, False)


# What is analysed --------------------------------------------------------------------------------------------------


def test_instability_json_has_what_the_rows_say(shared_root: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(shared_root)
    runner.run()
    result = runner.result()
    rows = list(csv.DictReader((runner.here / "interpolation.csv").open()))
    errors = [float(row["error"]) for row in rows if (row["split"], row["batchnorm"]) == ("test", "raw")]
    assert len(errors) == 5
    assert result["error_barrier"]["test"]["raw"] == max(errors) - (errors[0] + errors[-1]) / 2
    assert result["child_error"]["test"] == [errors[0], errors[-1]]
    done = [runner.here.sub(f"child_{number}").result() for number in (1, 2)]
    assert result["child_error"]["test"] == [1 - one["test_accuracy"] for one in done]
    trunk = runner.trunk.store.result()
    assert result["accuracy_gap"] == trunk["test_accuracy"] - (1 - sum(errors[::4]) / 2)
    assert (result["k"], result["strategy"], result["density"]) == ("1ep0it", "adsynflow", pytest.approx(0.5, abs=1e-3))
    assert result["error_barrier_spread"]["test"]["raw"] is None  # one pair has no spread


def test_children_are_masked_from_k_to_the_end(shared_root: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(shared_root)
    runner.run()
    mask = Mask.load(runner.here / "mask.safetensors")
    for child in (1, 2):
        weights = tensors(runner, child)
        assert all(not weights[name][~kept].any() for name, kept in mask.items())


def test_the_mask_is_that_of_a_lottery_run_with_the_same_k(
    shared_root: Path, make_runner: MakeRunner, pruned: StabilityDesc
) -> None:
    runner = make_runner(shared_root)
    lottery = LotteryDesc(train=pruned.train, strategy=pruned.strategy, pruning=pruned.pruning, k=Step("1ep"))
    level = LotteryRunner(lottery, 1, [1], runner.data, runner.context)
    store = Store(shared_root / lottery.key / "replicate_1")
    level.run(store)
    assert runner.mask() == Mask.load(store / "level_1" / "mask.safetensors")


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
    runner.run()
    first, second, third = runner.result()["children"]
    assert (first["lr"], first["weight_decay"]) == (0.1, 5e-4)
    assert len({0.1, second["lr"], third["lr"]}) == 3
    assert second["lr"] == pytest.approx(0.1, rel=0.5)
    unperturbed = make_runner(tmp_path)
    unperturbed.run()
    assert equal(tensors(runner, 1), tensors(unperturbed, 1))
    assert not equal(tensors(runner, 2), tensors(unperturbed, 2))


def test_three_children_make_three_pairs_with_a_spread(tmp_path: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(tmp_path, children=3)
    runner.run()
    result = runner.result()
    assert [pair["children"] for pair in result["pairs"]] == [[1, 2], [1, 3], [2, 3]]
    raw = [pair["error_barrier"]["test"]["raw"] for pair in result["pairs"]]
    assert result["error_barrier"]["test"]["raw"] == pytest.approx(sum(raw) / 3)
    assert result["error_barrier_spread"]["test"]["raw"] is not None


# Again and more ----------------------------------------------------------------------------------------------------


def test_again_it_computes_nothing_changes_no_file_and_says_so(
    tmp_path: Path, make_runner: MakeRunner, counted: list[int], listener, contents: Contents
) -> None:
    make_runner(tmp_path).run()
    before = contents(tmp_path)
    counted.clear()
    make_runner(tmp_path).run()
    assert counted == []
    assert contents(tmp_path) == before
    assert "Nothing was computed" in listener.said[-1]


def test_more_children_and_alphas_only_add(
    tmp_path: Path, make_runner: MakeRunner, counted: list[int], contents: Contents
) -> None:
    make_runner(tmp_path).run()
    before = contents(tmp_path)
    rows = (tmp_path / make_runner(tmp_path).here.path / "interpolation.csv").read_text().splitlines()
    counted.clear()
    runner = make_runner(tmp_path, children=3, alphas=9)
    runner.run()
    assert counted == list(range(5, 20))  # the third child, from k = 1 epoch to 4
    after = contents(tmp_path)
    changed = {name for name in before if after[name] != before[name] and not name.endswith(".lock")}
    assert {Path(name).name for name in changed} == {"interpolation.csv", "instability.json"}
    assert set(rows) <= set((runner.here / "interpolation.csv").read_text().splitlines())


def test_another_threshold_changes_the_verdict_alone(
    tmp_path: Path, make_runner: MakeRunner, counted: list[int], full: StabilityDesc
) -> None:
    make_runner(tmp_path, full, k="3ep").run()
    counted.clear()
    runner = make_runner(tmp_path, full, k="3ep", threshold=1e-9)
    runner.run()
    assert counted == []
    assert runner.result()["threshold"] == 1e-9


@pytest.mark.parametrize("stop_at", ["child_1: 3ep", "child_2: 2ep", "child_2: 4ep"])
def test_interrupted_it_goes_on_to_the_same_bits(tmp_path: Path, make_runner: MakeRunner, listener, stop_at) -> None:
    whole = make_runner(tmp_path / "whole")
    whole.run()
    say, broken = listener.say, make_runner(tmp_path / "broken")

    def interrupt(text: str) -> None:
        say(text)
        if stop_at in text:
            raise KeyboardInterrupt

    listener.say = interrupt
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    listener.say = say
    assert not broken.done
    broken.run()
    for name in ("interpolation.csv", "instability.json"):
        assert (broken.here / name).read_bytes() == (whole.here / name).read_bytes()


def test_interrupted_on_the_line_it_keeps_the_points(
    tmp_path: Path, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stability.interpolation import Line

    real, walked = Line.go_to, []

    def go_to(self, alpha: float):
        walked.append(alpha)
        if len(walked) == 3:
            raise KeyboardInterrupt
        return real(self, alpha)

    monkeypatch.setattr(Line, "go_to", go_to)
    runner = make_runner(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        runner.run()
    runner.run()
    assert walked == [0, 0.25, 0.5, 0.5, 0.75, 1]


def test_one_child_alone_is_the_same_child(tmp_path: Path, make_runner: MakeRunner) -> None:
    """What --jobs rests on: children trained in any order by any process are those of a sequential run."""
    whole, parts = make_runner(tmp_path / "whole"), make_runner(tmp_path / "parts")
    whole.run()
    parts.train_child(2)
    assert not (parts.here / "child_1").exists()
    parts.train_child(1)
    assert all(equal(tensors(whole, child), tensors(parts, child)) for child in (1, 2))


# What goes wrong ---------------------------------------------------------------------------------------------------


def test_a_damaged_child_is_named_and_made_again(tmp_path: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(tmp_path)
    runner.run()
    good = tensors(runner, 2)
    damaged = runner.here / "child_2" / "model_4ep0it.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = make_runner(tmp_path, alphas=9)
    with pytest.raises(UsageError, match=r"child_2/model_4ep0it.safetensors is damaged"):
        again.run()
    damaged.unlink()
    again.run()
    assert equal(tensors(again, 2), good)


def test_a_child_of_another_mask_is_named(tmp_path: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(tmp_path)
    runner.run()
    mask = runner.mask()
    assert mask is not None
    Mask({name: ~kept for name, kept in mask.items()}).save(runner.here / "mask.safetensors")
    with pytest.raises(UsageError, match=r"child_1 was trained under another mask"):
        make_runner(tmp_path, alphas=9).run()


def test_a_damaged_table_is_named(tmp_path: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(tmp_path)
    runner.run()
    (runner.here / "interpolation.csv").write_text("first_child,alpha\n1,x\n")
    with pytest.raises(UsageError, match=r"interpolation.csv is damaged"):
        make_runner(tmp_path, alphas=9).run()


def test_k_beyond_the_end_is_refused(tmp_path: Path, make_runner: MakeRunner) -> None:
    with pytest.raises(UsageError, match=r"--k=21it: beyond --training_steps=4ep"):
        make_runner(tmp_path, k="21it")
    assert not any(tmp_path.iterdir())


def test_instability_json_is_plain_json(shared_root: Path, make_runner: MakeRunner) -> None:
    runner = make_runner(shared_root)
    runner.run()
    json.loads((runner.here / "instability.json").read_text(), parse_constant=pytest.fail)


def test_replicates_share_nothing(shared_root: Path, make_runner: MakeRunner) -> None:
    one, other = make_runner(shared_root), make_runner(shared_root, replicate=2)
    one.run()
    other.run()
    assert not equal(tensors(one, 1), tensors(other, 1))


def test_the_trunk_is_trained_once_for_full_and_pruned_networks(
    tmp_path: Path, make_runner: MakeRunner, counted: list[int], full: StabilityDesc, pruned: StabilityDesc
) -> None:
    make_runner(tmp_path, pruned, k="1ep").run()
    assert len(counted) == 20 + 2 * 15
    counted.clear()
    make_runner(tmp_path, full, k="1ep").run()
    assert len(counted) == 2 * 15
