"""Masks taken from another replicate."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cli import main
from experiments.define.lottery import branch_tasks
from experiments.run.tasks import LevelTask, TrunkTask
from lottery.branch import branches
from pruning import Mask
from pruning.graph import channel_graph
from stability.alignment import permuted
from tests.lottery.conftest import Levels, context, experiment  # noqa: F401  fixtures
from training.trunk import Trunk

Experiment = Callable[..., Levels]
DIGITS = ["--dataset=digits", "--model=mnist_lenet_16", "--training_steps=1ep", "--k=0", "--pruning_strategy=magnitude"]


def transported(runner: Levels, **fields: Any) -> Mask:
    mask: Mask = branches.get("transport_mask")(from_replicate=2, **fields).start(runner.level(1).ticket()).mask
    return mask


def test_unpermuted_it_is_the_other_replicates_mask_on_this_replicates_start(experiment: Experiment) -> None:  # noqa: F811
    mine, other = experiment(), experiment(replicate=2)
    other.run()
    ticket = branches.get("transport_mask")(from_replicate=2, match_by="none").start(mine.level(1).ticket())
    assert ticket.mask == other.level(1).mask() != mine.level(1).mask()
    start = mine.trunk.state_at(mine.desc.k).model.state_dict()
    assert all(torch.equal(tensor, start[name]) for name, tensor in ticket.state.model.state_dict().items())


@pytest.mark.parametrize("how", ["weights", "activations"])
def test_its_channels_go_where_the_full_networks_correspond(
    experiment: Experiment, how: str, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    """Of a network whose channels another replicate has in other places: the mask goes back by the same way."""
    mine, other = experiment(model="mnist_lenet_12_10"), experiment(model="mnist_lenet_12_10", replicate=2)
    model = mine.trunk.fresh().model
    with torch.no_grad():
        for tensor in model.parameters():  # no unit is dead
            tensor.uniform_(0.1, 1, generator=torch.Generator().manual_seed(1))
    graph = channel_graph(model)
    order = graph.random_orders(torch.Generator().manual_seed(2))

    def trained_network(trunk: Trunk) -> torch.nn.Module:
        network = mine.trunk.fresh().model
        mine_or_other = model.state_dict() if trunk is mine.trunk else permuted(model.state_dict(), graph, order)
        network.load_state_dict(mine_or_other)
        return network

    monkeypatch.setattr("stability.transport.trained_network", trained_network)
    back = {group: places.argsort() for group, places in order.items()}
    expected = permuted(other.level(1).mask(), graph, back)
    assert transported(mine, match_by=how) == Mask(expected) != transported(mine, match_by="none")


def test_levels_and_full_networks_of_both_replicates_come_before(experiment: Experiment) -> None:  # noqa: F811
    desc = experiment().desc
    branch = branches.get("transport_mask")(from_replicate=3)
    [task] = branch_tasks(desc, 1, [1], False, branch)
    assert [(one.replicate, one.level) for one in task.after if isinstance(one, LevelTask)] == [(1, 1), (3, 1)]
    ends = {(one.replicate, one.to.short) for one in task.after if isinstance(one, TrunkTask)}
    assert ends == {(1, "1ep"), (1, "3ep"), (3, "1ep"), (3, "3ep")}


def test_a_command_compares_ways_of_matching(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*DIGITS, "--from_replicate=2", "--match_by=none,activations", f"--root={tmp_path}"]
    assert main(["lottery_branch", "transport_mask", *flags]) == 0
    out = capsys.readouterr().out
    assert "transport_mask: test accuracy" in out
    assert [line.split()[2] for line in out.splitlines() if line.startswith("magnitude")] == ["none", "activations"]
    assert len(list(tmp_path.glob("lottery_*/replicate_1/level_1/transport_mask_*/done.json"))) == 2
    assert len(list(tmp_path.glob("lottery_*/replicate_2/level_1/done.json"))) == 1


def test_the_replicate_itself_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*DIGITS, "--from_replicate=1", f"--root={tmp_path / 'runs'}"]
    assert main(["lottery_branch", "transport_mask", *flags]) == 2
    assert "--from_replicate=1: is the replicate itself; give another one" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
