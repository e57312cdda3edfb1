"""Subnetworks whose masks change while they are trained."""

import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from cli import main
from foundations import files
from foundations.interruption import Interrupted
from foundations.steps import Step
from foundations.store import Store
from lottery.branch import LevelBranch, branches
from lottery.changing_masks import cost_of
from pruning import Mask, strategies
from stability import AnalysisAtK, AnalysisHparams, StabilityDesc
from tests.lottery.conftest import Levels
from tests.steps import Steps
from training.mask_updates import MaskUpdates
from training.state import TrainState

Experiment = Callable[..., Levels]
END = "model_3ep0it.safetensors"
CHANGING = ["gmp", "set", "rigl", "granet", "acdc", "srigl"]


def changing(experiment: Experiment, name: str, k: str = "1ep", **pruning: Any) -> Levels:
    """One level of 20%, 3 epochs of 5 steps, the mask updated every second step of the first 12."""
    runner = experiment(name, (1,), k=k, **{"pruning_fraction": 0.8, **pruning})
    strategy = strategies.get(name)(update_every=Step("2it"), update_until=0.8)
    return Levels(replace(runner.desc, strategy=strategy), 1, runner.data, runner.context, levels=(1,))


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, TrainState, Mask]]:
    """Iteration, state and mask of every update, as it is made."""
    seen: list[tuple[int, TrainState, Mask]] = []
    original = TrainState.set_mask

    def set_mask(self: TrainState, mask: Mask) -> None:
        original(self, mask)
        seen.append((self.iteration, self, mask))

    monkeypatch.setattr(TrainState, "set_mask", set_mask)
    return seen


@pytest.mark.parametrize("name", ["set", "rigl", "srigl"])
def test_every_layer_keeps_its_density_at_every_update(experiment: Experiment, masks: list[Any], name: str) -> None:
    runner = changing(experiment, name)
    assert runner.trunk.per_epoch == 5
    runner.run()
    assert [iteration for iteration, _, _ in masks] == [7, 9, 11, 12]
    first = Mask.load(runner.level(1).here / "first_mask.safetensors")
    assert first.kept == round(0.2 * first.total)
    for _, _, mask in masks:
        assert {layer: int(kept.sum()) for layer, kept in mask.items()} == {
            layer: int(kept.sum()) for layer, kept in first.items()
        }
    assert masks[0][2] != first


def test_gmp_comes_to_its_density_step_by_step(experiment: Experiment, masks: list[Any]) -> None:
    """From k = 5 to 12: 2/7, 4/7, 6/7 and all of the way."""
    runner = changing(experiment, "gmp")
    runner.run()
    total = masks[0][2].total
    shares = [2 / 7, 4 / 7, 6 / 7, 1]
    assert [mask.kept for _, _, mask in masks] == [round((1 - 0.8 * (1 - (1 - t) ** 3)) * total) for t in shares]
    for (_, _, before), (_, _, after) in pairwise(masks):
        assert all((after[layer] <= before[layer]).all() for layer in before)


@pytest.mark.parametrize("name", ["granet", "acdc"])
def test_what_ends_at_the_density_of_the_level_keeps_just_so_many(
    experiment: Experiment, masks: list[Any], name: str
) -> None:
    """GraNet on its way from a half, AC/DC alternately a fifth and all, at 7, 9 and, 11 being left out, 12."""
    runner = changing(experiment, name)
    runner.run()
    total = masks[0][2].total
    shares = [0.5 - 0.3 * (1 - (1 - t) ** 3) for t in (2 / 7, 4 / 7, 6 / 7, 1)] if name == "granet" else [0.2, 1, 0.2]
    assert [mask.kept for _, _, mask in masks] == [round(share * total) for share in shares]
    final, mask = runner.level(1).here.read_tensors(END), Mask.load(runner.level(1).here / "mask.safetensors")
    assert mask.kept == round(0.2 * total)
    assert all(not final[layer][~kept].any() for layer, kept in mask.items())


def test_grown_weights_and_their_momentum_start_at_zero_and_dropped_ones_stay_zero(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = TrainState.set_mask

    def set_mask(self: TrainState, mask: Mask) -> None:
        before = self.mask
        assert before is not None
        momenta = {n: self.optimizer.state[p]["momentum_buffer"].clone() for n, p in self.model.named_parameters()}
        original(self, mask)
        for name, weight in self.model.named_parameters():
            if name in mask:
                grown, momentum = mask[name] & ~before[name], self.optimizer.state[weight]["momentum_buffer"]
                seen.append((int(grown.sum()), int(momenta[name][grown].count_nonzero())))
                assert not weight[grown].any()
                assert not momentum[grown].any()
                assert torch.equal(momentum[~grown], momenta[name][~grown])
                assert not weight[~mask[name]].any()

    monkeypatch.setattr(TrainState, "set_mask", set_mask)
    runner = changing(experiment, "rigl")
    runner.run()
    assert sum(grown for grown, _ in seen) > 0
    assert sum(moved for _, moved in seen) > 0, "pruned weights have momentum, which is taken from those that grow"
    final, mask = runner.level(1).here.read_tensors(END), Mask.load(runner.level(1).here / "mask.safetensors")
    assert all(not final[name][~kept].any() for name, kept in mask.items())


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("at", [6, 8, 9, 13])
def test_a_run_that_was_interrupted_ends_with_the_same_bits(
    experiment: Experiment, steps: Steps, name: str, at: int
) -> None:
    """Before the first update, between two, right at one, and after the last."""
    runner = changing(experiment, name)
    runner.run()
    here, expected = runner.level(1).here, files_of(runner.level(1).here)
    for path in here.path.iterdir():
        path.unlink()
    interruption = runner.context.interruption

    def ask(state: TrainState) -> None:
        if state.iteration == at - 1 and state.mask is not None:
            interruption.signal = signal.SIGTERM

    steps.before.append(ask)
    with pytest.raises(Interrupted):
        changing(experiment, name).run()
    steps.before.remove(ask)
    interruption.signal = None
    assert here.read_state(files.CHECKPOINT)["iteration"] == at
    steps.taken.clear()
    changing(experiment, name).run()
    assert steps.taken == list(range(at, 15))
    assert files_of(here) == expected


def files_of(store: Store) -> dict[str, bytes]:
    names = (END, "mask.safetensors", "first_mask.safetensors", "mask_updates.jsonl", "done.json", "metrics.jsonl",
             "sparsity_report.json")  # fmt: skip
    return {name: store.read_bytes(name) for name in names}


def test_what_is_said_of_the_updates(experiment: Experiment, masks: list[Any]) -> None:
    """By the masks themselves: density, weights that were ever kept, multiply-adds of 64 * 16 + 16 * 10 weights."""
    runner = changing(experiment, "rigl")
    runner.run()
    here = runner.level(1).here
    first = Mask.load(here / "first_mask.safetensors")
    history = [first, *(mask for _, _, mask in masks)]
    rows = here.read_rows("mask_updates.jsonl")
    assert [row["iteration"] for row in rows] == [5, 7, 9, 11, 12]
    assert [row["density"] for row in rows] == [mask.density for mask in history]
    assert [row["multiply_adds"] for row in rows] == [mask.kept for mask in history]
    for before, after, row in zip(history, history[1:], rows[1:], strict=False):
        assert row["grown"] == row["dropped"] == sum(int((after[name] & ~before[name]).sum()) for name in after)
    ever = sum(int(torch.stack([mask[name] for mask in history]).any(0).sum()) for name in first)
    assert here.result()["ever_active"] == rows[-1]["ever_active"] == ever / first.total > first.density
    assert here.result()["mask_updates"] == 4
    assert Mask.load(here / "mask.safetensors") == history[-1]
    assert here.read_json("sparsity_report.json")["density"] == history[-1].density


@pytest.mark.parametrize("name", ["rigl", "granet", "srigl"])
def test_gradients_of_all_weights_are_counted(experiment: Experiment, name: str) -> None:
    """Of a batch for each update: forward and back to the inputs under the mask, back to all 1,184 weights."""
    runner = changing(experiment, name)
    runner.run()
    here, seen = runner.level(1).here, runner.trunk.examples_seen
    kept = [row["multiply_adds"] for row in here.read_rows("mask_updates.jsonl")]
    at = [5, 7, 9, 11, 12, 15]
    by_hand = sum(3 * own * (seen(last) - seen(first)) for own, (first, last) in zip(kept, pairwise(at), strict=True))
    by_hand += sum((2 * kept[n] + 1184) * (seen(at[n + 1] + 1) - seen(at[n + 1])) for n in range(4))
    assert here.read_json("sparsity_report.json")["training_multiply_adds"]["subnetwork"] == by_hand


def test_a_hundredth_of_the_weights_costs_a_third_more_with_rigl() -> None:
    """f_S = 1, f_D = 100: 300 for 100 steps of an example, and 2 + 100 for the update; Evci's +33% is by 101 steps."""

    class Seen:
        examples_seen = staticmethod(lambda iteration: iteration)

    model = torch.nn.Linear(10, 10, bias=False)
    rows = [{"iteration": at, "multiply_adds": 1} for at in (0, 100)]
    updates = MaskUpdates(
        strategy=strategies.get("rigl")(), density=0.01, pruning=None, ignored=(), index=(), positions={"weight": 1},
        data=None, start=0, end=100,
    )  # fmt: skip
    assert cost_of(rows, updates, Seen(), model) == 3 * 100 + 2 + 100
    more = torch.nn.ModuleDict({"fc": model, "table": torch.nn.Embedding(5, 2)})  # which no strategy prunes
    uses = replace(updates, positions={"fc.weight": 1, "table.weight": 3})
    assert cost_of(rows, uses, Seen(), more) == 3 * 31 * 100 + 2 * 31 + 130


@pytest.mark.parametrize("name", ["gmp", "acdc", "set"])
def test_multiply_adds_are_those_of_each_mask_in_its_time(experiment: Experiment, name: str) -> None:
    """Dense phases of AC/DC count as such; these methods need no gradients of pruned weights."""
    runner = changing(experiment, name)
    runner.run()
    here, seen = runner.level(1).here, runner.trunk.examples_seen
    kept = {row["iteration"]: row["multiply_adds"] for row in here.read_rows("mask_updates.jsonl")}
    by_hand = sum(3 * kept[first] * (seen(last) - seen(first)) for first, last in pairwise([*kept, 15]))
    cost = here.read_json("sparsity_report.json")["training_multiply_adds"]
    assert cost["subnetwork"] == by_hand
    assert cost["total"] == cost["pretraining"] + by_hand


def test_ignored_layers_never_change(experiment: Experiment, masks: list[Any]) -> None:
    for name in CHANGING:
        masks.clear()
        changing(experiment, name, layers_to_ignore=("fc",)).run()
        assert all(mask["fc.weight"].all() for _, _, mask in masks)
        assert not masks[-1][2]["fc1.weight"].all()


def test_a_branch_begins_with_the_first_mask_and_has_updates_of_its_own(experiment: Experiment) -> None:
    runner = changing(experiment, "set")
    runner.run()
    branch = LevelBranch(runner.level(1), branches.get("rewind")())
    branch.train()
    level, here = branch.level.here, branch.here
    first = Mask.load(level / "first_mask.safetensors")
    assert Mask.load(here / "first_mask.safetensors") == first != Mask.load(level / "mask.safetensors")
    assert here.read_rows("mask_updates.jsonl")[0]["iteration"] == 0


def test_children_have_masks_of_their_own(experiment: Experiment) -> None:
    runner = changing(experiment, "set")
    desc = runner.desc
    described = StabilityDesc(train=desc.train, strategy=desc.strategy, pruning=desc.pruning)
    analysis = AnalysisAtK(described, runner.trunk, Step("1ep"), AnalysisHparams(alphas=2))
    verdict = analysis.compare()
    assert verdict.density == pytest.approx(0.2)
    start = Mask.load(analysis.here / "mask.safetensors")
    masks = [Mask.load(analysis.here / f"child_{number}" / "mask.safetensors") for number in (1, 2)]
    assert masks[0] != masks[1]
    assert masks[0].kept == masks[1].kept == start.kept
    for number, mask in enumerate(masks, 1):
        weights = analysis.here.sub(f"child_{number}").read_tensors(END)
        assert all(not weights[name][~kept].any() for name, kept in mask.items())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--pruning_strategy=rigl --compact", "--compact: the mask of --pruning_strategy=rigl changes in training"),
        ("--pruning_strategy=gmp --score_at=end", "--score_at=end: --pruning_strategy=gmp begins at k"),
        ("--pruning_strategy=set --k=16", "--update_until=0.75: ends before the first update of the mask"),
    ],
)
def test_where_a_mask_cannot_change_is_refused(
    flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = ["--dataset=digits", "--model=mnist_lenet_16", f"--root={tmp_path / 'runs'}"]
    assert main(["lottery", *plain, *flags.split()]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
