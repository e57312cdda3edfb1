"""Worker processes of this machine, one of which is killed in the middle."""

from pathlib import Path

from tests.engines.proving import SLOW, Command, all_begun, kill, results, rows, run, trainers, wait_until


def test_a_worker_that_is_killed_costs_its_task_one_try(tmp_path: Path) -> None:
    root, train = tmp_path / "killed", ("train", *SLOW, "--training_steps=20ep", "--replicate=1-2", "--jobs=2")
    command = Command(root, *train)
    wait_until(all_begun(root, 2), command)
    kill(trainers(root, 1)[0])
    assert command.end() == 0
    assert command.said().count("its process ended with exit code -9; trying once more") == 1
    assert run(tmp_path / "not_killed", *train)[0] == 0
    assert results(root) == results(tmp_path / "not_killed") != {}
    assert rows(root) == rows(tmp_path / "not_killed")  # no epoch twice
