"""A real Ray cluster of two raylets on this machine, one of which is killed in the middle."""

from pathlib import Path

import pytest

from tests.engines.proving import SLOW, Command, all_begun, kill, results, rows, run, wait_until
from tests.engines.ray_cluster import cluster, join

pytest.importorskip("ray")

EPOCHS = 40


def test_a_node_that_dies_costs_its_tasks_one_try(tmp_path: Path) -> None:
    root = tmp_path / "ray"
    train = ("train", *SLOW, f"--training_steps={EPOCHS}ep", "--replicate=1-2")
    with cluster() as environment:
        first, _ = join(environment, cpus=1), join(environment, cpus=1)
        command = Command(root, *train, "--engine=ray", environment=environment)
        wait_until(all_begun(root, 2), command)
        kill(first)
        assert command.end() == 0
        said = command.said()
    assert "3 nodes, 2 CPUs" in said
    assert said.count("trying once more") == 1
    assert run(tmp_path / "local", *train, "--jobs=2")[0] == 0
    assert results(root) == results(tmp_path / "local") != {}
    assert rows(root) == rows(tmp_path / "local")  # no epoch twice


def test_a_cluster_of_its_own_where_none_is_named(tmp_path: Path) -> None:
    code, said = run(tmp_path / "runs", "train", *SLOW, "--training_steps=2ep", "--engine=ray", "--cpus_per_task=2")
    assert code == 0
    assert "1 tasks to a Ray cluster: 1 node" in said
