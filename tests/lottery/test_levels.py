import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foundations.context import Context
from foundations.errors import UsageError
from foundations.seeds import Seeds
from foundations.steps import Step
from foundations.store import Store
from lottery.level import check_compactable
from lottery.masks import sparsity_report, training_cost
from models import ImageShape
from pruning import Mask, prune

Experiment = Callable[..., Any]
END = "model_3ep0it.safetensors"


def weights(store: Store, name: str = END) -> dict[str, torch.Tensor]:
    return store.read_tensors(name)


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in root.rglob("*") if path.is_file()}


def test_level_n_keeps_the_fraction_to_the_n(experiment: Experiment) -> None:
    runner = experiment(levels=(1, 2, 3))
    runner.run()
    kept = [Mask.load(runner.store.sub(f"level_{level}") / "mask.safetensors").kept for level in (1, 2, 3)]
    total = 64 * 16 + 16 * 10
    assert kept == [round(total / 2), round(total / 4), round(total / 8)]
    assert [row["level"] for row in runner.results()] == [1, 2, 3]


def test_level_0_is_the_trunk(experiment: Experiment) -> None:
    runner = experiment(levels=(0,))
    runner.run()
    level = runner.store.sub("level_0")
    assert (level.path / level.result()["model"]).resolve() == (runner.trunk.store / END).resolve()
    assert level.read_rows("metrics.jsonl") == runner.trunk.store.read_rows("metrics.jsonl")
    assert Mask.load(level / "mask.safetensors").density == 1


def test_a_dense_branch_ends_where_the_trunk_ends_bit_for_bit(experiment: Experiment) -> None:
    runner = experiment(k="1ep2it")
    level = runner.level(1)
    runner.trunk.finish()
    ticket = level.ticket()
    everything = Mask.ones(ticket.state.model)
    here = runner.store.sub("dense")
    here.path.mkdir(parents=True)
    level.record(here, everything, runner.desc.k, ticket.training, found_by=0)
    level.train_ticket(here, ticket, "nothing")
    trunk, branch = weights(runner.trunk.store), weights(here)
    assert all(torch.equal(trunk[name], branch[name]) for name in trunk)


def test_pruned_weights_are_zero_at_the_start_and_at_the_end(experiment: Experiment) -> None:
    runner = experiment("synflow", k="0ep")
    runner.run()
    mask, final = Mask.load(runner.store.sub("level_1") / "mask.safetensors"), weights(runner.store.sub("level_1"))
    assert all(not final[name][~kept].any() for name, kept in mask.items())
    assert all(final[name][kept].all() for name, kept in mask.items())


def test_a_level_starts_from_the_whole_state_at_k(experiment: Experiment) -> None:
    """Weights and momentum: with a fresh optimizer the level ends elsewhere."""
    runner = experiment()
    ticket = runner.level(1).ticket()
    trunk = runner.trunk.state_at(Step("1ep"))
    assert ticket.state.iteration == trunk.iteration
    buffers = ticket.state.optimizer.state_dict()["state"]
    assert all(entry["momentum_buffer"].any() for entry in buffers.values())


def test_what_is_scored_at_the_end_needs_the_levels_before_and_nests(experiment: Experiment) -> None:
    runner = experiment("sparse_global", levels=(2,), k="0ep")
    assert runner.levels == [0, 1, 2]
    runner.run()
    first, second = (Mask.load(runner.store.sub(f"level_{level}") / "mask.safetensors") for level in (1, 2))
    assert all((second[name] <= first[name]).all() for name in first)
    trained = weights(runner.trunk.store)
    largest = torch.cat([trained[name].abs().flatten() for name in first]).sort(descending=True).values[first.kept - 1]
    assert all(torch.equal(first[name], trained[name].abs() >= largest) for name in first)


@pytest.mark.parametrize("strategy", ["random", "snip"])
def test_level_n_is_pruned_with_the_random_numbers_of_n_and_the_replicate_s_batches(
    experiment: Experiment, strategy: str
) -> None:
    runner = experiment(strategy, levels=(1, 2), k="1ep", replicate=3, pruning_batches=2)
    runner.run()
    seeds, pruning = Seeds(3), runner.desc.pruning
    batches = runner.data.pruning_batches(2, 64, seeds.generator("pruning batches"), pruning.pruning_balanced)
    for level in (1, 2):
        model, generator = runner.trunk.state_at(Step("1ep")).model, seeds.generator("pruning", level)
        by_hand = prune(runner.desc.strategy, model, batches, pruning, 0.5**level, generator)
        assert Mask.load(runner.store.sub(f"level_{level}") / "mask.safetensors") == by_hand


def test_the_size_of_scoring_batches_may_be_another_than_that_of_training(experiment: Experiment) -> None:
    level = experiment("snip", pruning_batch_size=16, pruning_balanced=False).level(1)
    seeds, trunk = level.trunk.seeds, level.trunk
    batches = trunk.data.pruning_batches(1, 16, seeds.generator("pruning batches"), balanced=False)
    model, generator = trunk.state_at(Step("1ep")).model, seeds.generator("pruning", 1)
    assert level.mask() == prune(level.desc.strategy, model, batches, level.desc.pruning, 0.5, generator)
    assert level.mask() != experiment("snip").level(1).find_mask(level.desc.strategy)


def test_running_again_trains_nothing_and_changes_no_file(experiment: Experiment, steps_taken: list[int]) -> None:
    runner = experiment(levels=(0, 1))
    runner.run()
    before = snapshot(runner.context.root)
    steps_taken.clear()
    again = experiment(levels=(0, 1))
    again.run()
    assert snapshot(runner.context.root) == before
    assert steps_taken == []


def test_a_k_past_the_end_is_refused_before_anything_is_written(experiment: Experiment, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--k=100it: beyond --training_steps=3ep"):
        experiment(k="100it")
    assert not (tmp_path / "runs").exists()


def test_a_model_that_cannot_be_compacted_is_refused_with_what_to_do(context: Context) -> None:
    class Undecided(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    message = r"^--compact: Undecided cannot be traced \(symbolically traced .*\); leave the flag out$"
    with pytest.raises(UsageError, match=message):
        check_compactable(Undecided(), context)


def test_a_cut_network_stops_with_the_name_of_the_layer_and_its_report(experiment: Experiment) -> None:
    """Of 1,184 weights 1 is left: one of the two layers is empty."""
    runner = experiment("random", pruning_fraction=0.9992)
    with pytest.raises(UsageError, match=r"(?s)random leaves no path .* \(empty: .*--allow_collapse"):
        runner.run()
    report = json.loads((runner.store.sub("level_1") / "sparsity_report.json").read_text())
    assert report["has_path"] is False
    assert report["kept"] == 1
    assert not runner.store.sub("level_1").done


def test_ignored_layers_stay_whole_and_do_not_count(experiment: Experiment) -> None:
    runner = experiment(layers_to_ignore=("fc",))
    runner.run()
    report = runner.store.sub("level_1").read_json("sparsity_report.json")
    assert (report["total"], report["kept"]) == (64 * 16, 64 * 8)
    assert report["density"] == 0.5
    [fc] = [layer for layer in report["layers"] if layer["name"] == "fc.weight"]
    assert (fc["kept"], fc["ignored"]) == (160, True)


def test_the_sparsity_report_by_hand() -> None:
    """A 3x3 convolution on 4x4 pixels is used at 16 positions, a linear layer at one."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(32, 3))
    convolution, linear = torch.zeros(2, 1, 3, 3, dtype=torch.bool), torch.zeros(3, 32, dtype=torch.bool)
    convolution[0, 0, 0, :2] = True
    linear[0] = True
    mask = Mask({"0.weight": convolution, "2.weight": linear})
    report = sparsity_report(model, mask, ImageShape(1, 4, 4, 3))
    assert (report["kept"], report["total"]) == (34, 114)
    assert report["density"] == 34 / 114
    assert report["compression"] == 114 / 34
    assert report["parameters"] == {"dense": 117, "kept": 37}
    assert report["multiply_adds"] == {"dense": 18 * 16 + 96, "kept": 2 * 16 + 32}
    assert report["empty_layers"] == []
    assert [layer["kept"] for layer in report["layers"]] == [2, 32]
    # The convolution looks at the row above: its first row sees padding alone, and its second channel nothing.
    assert [layer["effective"] for layer in report["layers"]] == [2, 12]
    assert report["effective_density"] == 14 / 114


def test_the_cost_of_a_training_by_hand() -> None:
    """Three forward passes a step: 10 multiply-adds dense and 4 kept, 5 examples up to k and 100 after it."""
    report = {"multiply_adds": {"dense": 10, "kept": 4}}
    assert training_cost(report, before_k=5, after_k=100) == {
        "dense_training": 3150,
        "pretraining": 150,
        "subnetwork": 1200,
        "finding_the_mask": 0,
        "total": 1350,
    }
    assert training_cost(report, before_k=5, after_k=100, found_by=5000)["total"] == 6200
