"""The command lottery_branch, and several experiments in one command."""

import csv
from collections.abc import Callable
from typing import Any

import pytest

from lottery.branch import branches

Command = Callable[..., Any]


@pytest.mark.parametrize("argv", [(), ("--help",)])
def test_without_a_branch_they_are_listed_with_a_line_each(command: Command, argv: tuple[str, ...]) -> None:
    outcome = command("lottery_branch", *argv)
    assert outcome.code == 0
    lines = {line.split()[0]: line for line in outcome.out.splitlines() if line.startswith("  ")}
    assert sorted(lines) == branches.names()
    assert all(branches.get(name).summary() in lines[name] for name in branches)


def test_an_unknown_branch_is_refused_with_what_was_meant(command: Command) -> None:
    outcome = command("lottery_branch", "shufle")
    assert outcome.code == 2
    assert "'shufle' (did you mean 'shuffle'?)" in outcome.err


def test_another_branch_s_flag_is_refused_by_name(command: Command) -> None:
    outcome = command("lottery_branch", "shuffle", "--retrain_lr=1")
    assert (outcome.code, outcome.err.strip()) == (
        2, "--retrain_lr belongs to lottery_branch retrain, which is not selected",
    )  # fmt: skip


def test_levels_that_are_missing_come_first_and_nothing_runs_twice(
    command: Command, finished: Any, small: tuple[str, ...], steps_taken: list[int]
) -> None:
    argv = ("lottery_branch", "shuffle", *small, "--k=1", "--levels=1-2", *finished.flags)
    first = command(*argv)
    assert len(steps_taken) == 3 * 2 * 23  # level 2 and the branches of 1 and 2, from 1 to 3 epochs; level 1 was there
    assert "levels come before their branches" in first.err
    steps_taken.clear()
    again = command(*argv)
    assert steps_taken == []
    assert "Nothing was trained" in again.err
    assert again.out == first.out


def test_the_table_shows_the_level_s_accuracy_beside_the_branch_s(
    command: Command, finished: Any, small: tuple[str, ...]
) -> None:
    level = command("lottery", *small, "--k=1", *finished.flags).out.splitlines()[1].split()
    header, row = command("lottery_branch", "rewind", *small, "--k=1", *finished.flags).out.splitlines()
    assert "rewind: test accuracy" in header
    assert row.split()[:5] == level[:5]  # strategy, k, level, density, the level's test accuracy
    assert "level_1/rewind_" in row.split()[-1]


def test_a_step_past_the_end_is_refused_before_anything_is_trained(
    command: Command, place: Any, small: tuple[str, ...]
) -> None:
    outcome = command("lottery_branch", "rewind", "--start_step=9ep", *small, "--k=1", *place.flags)
    assert outcome.code == 2
    assert outcome.err.strip().endswith("--start_step=9ep: beyond --training_steps=3ep")
    assert place.untouched


def test_several_experiments_leave_a_table_and_a_figure(
    command: Command, finished: Any, small: tuple[str, ...]
) -> None:
    argv = ("lottery", *small, "--k=1", "--levels=0-1", "--pruning_strategy=adsynflow,random", *finished.flags)
    outcome = command(*argv, "--density=0.5,0.1")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.out.splitlines()] == [
        "strategy", "(full", "adsynflow", "adsynflow", "random", "random",
    ]  # fmt: skip
    report = finished.one("report/lottery_*")
    assert str(report) in outcome.err
    assert {path.name for path in report.iterdir()} - {".lock"} == {
        "runs.csv", "table.csv", "accuracy.svg", "accuracy.png", "accuracy_effective.svg", "accuracy_effective.png",
    }  # fmt: skip
    with (report / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["strategy"], row["density"]) for row in rows[1:3]] == [
        ("adsynflow", str(592 / 1184)), ("adsynflow", str(118 / 1184)),
    ]  # fmt: skip


def test_an_experiment_that_fails_does_not_cost_the_others(
    command: Command, finished: Any, small: tuple[str, ...]
) -> None:
    """One of 1,184 weights leaves a layer empty; half of them do not."""
    argv = ("lottery", *small, "--k=1", "--pruning_strategy=random", *finished.flags)
    outcome = command(*argv, "--density=0.0008,0.5")
    assert outcome.code == 2
    assert "random, k=1ep, replicate 1: level_1: random leaves no path" in outcome.err
    lost, other = (line.split()[:4] for line in outcome.out.splitlines()[1:3])
    assert [lost, other] == [["random", "1ep", "1", "0.08%"], ["random", "1ep", "1", "50%"]]
    assert "0 of 1; 1 collapsed" in outcome.out
