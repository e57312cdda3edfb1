"""``--jobs``: several tasks at once, in processes that each do many."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.command_line import read_command
from experiments.run import engine as schedule
from experiments.run import task_process

Command = Callable[..., Any]
TINY = ("--dataset=digits", "--model=mnist_lenet_4", "--training_steps=2ep", "--threads=1")


def results(root: Path) -> dict[str, bytes]:
    """The bytes of all weights, masks and metrics below ``root``."""
    kinds = (".safetensors", "metrics.jsonl", "interpolation.csv", "instability.json")
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.name.endswith(kinds)}


def kinds_of(tasks: list[dict[str, Any]]) -> list[str]:
    return sorted(task["task"] for task in tasks)


# Processes -----------------------------------------------------------------------------------------------------------


def test_interrupted_it_goes_on_and_ends_in_the_bits_of_a_command_without_it(
    command: Command, place: Any, tmp_path: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    """Two runs over one trunk; Ctrl-C comes when the first epoch of a subnetwork is over."""
    started: list[subprocess.Popen[str]] = []
    wait = schedule.wait

    def recorded(*arguments: Any, **options: Any) -> Any:
        started.append(subprocess.Popen(*arguments, **options))
        return started[-1]

    def interrupted(futures: Any, return_when: str) -> Any:
        while True:
            metrics = place.root.glob("lottery_*/replicate_1/level_1/metrics.jsonl")
            if any(len(path.read_text().splitlines()) >= 2 for path in metrics):
                raise KeyboardInterrupt
            ended = wait(futures, 0.005, return_when)
            if ended.done:
                return ended

    argv = ("lottery", *small, "--training_steps=8ep", "--k=1", "--pruning_strategy=magnitude,random")
    with monkeypatch.context() as patch:
        patch.setattr(task_process, "subprocess", SimpleNamespace(**{**vars(subprocess), "Popen": recorded}))
        patch.setattr(schedule, "wait", interrupted)
        outcome = command(*argv, "--jobs=2", *place.flags)
    assert outcome.code == 130
    assert "5 tasks in 2 processes at once" in outcome.err  # the trunk to k; masks and levels
    assert outcome.err.splitlines()[-1] == "Interrupted. The same command goes on from the last checkpoint."
    codes = {process.poll() for process in started}
    assert 128 + signal.SIGTERM in codes  # that one has written its checkpoint
    assert codes <= {128 + signal.SIGTERM, -signal.SIGTERM}  # the other may just have been starting Python
    assert not list(place.root.rglob("done.json"))

    workers = request.getfixturevalue("workers")
    again = command(*argv, "--jobs=2", *place.flags)
    assert (again.code, kinds_of(workers.tasks)[:2]) == (0, ["level", "level"])
    alone = command(*argv, f"--root={tmp_path / 'alone'}")
    assert again.out.replace(str(place.root), str(tmp_path / "alone")) == alone.out
    assert results(place.root) == results(tmp_path / "alone")


# Commands ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "tasks"),
    [
        (("train",), ["trunk"] * 2),
        (("lottery", "--k=1", "--levels=0-1"), ["level"] * 4 + ["level_mask"] * 4 + ["trunk"] * 4),
        (("lottery_branch", "shuffle", "--k=1"), ["branch"] * 2 + ["level"] * 2 + ["level_mask"] * 2 + ["trunk"] * 2),
        (("stability", "--k=1", "--alphas=2"), ["analysis_mask", "child", "child", "comparison", "trunk", "trunk"] * 2),
    ],
    ids=lambda value: value[0],
)
def test_every_command_leaves_its_tasks_to_workers(
    argv: tuple[str, ...], tasks: list[str], command: Command, place: Any, tmp_path: Path, workers: Any
) -> None:
    outcome = command(*argv, *TINY, "--replicate=1-2", "--jobs=2", *place.flags)
    assert outcome.code == 0
    assert kinds_of(workers.tasks) == sorted(tasks)
    assert len(workers.processes) == 2
    assert [session["threads"] for session in workers.sessions] == [1, 1]
    total = len(tasks)
    assert [line.split(",")[0] for line in outcome.err.splitlines() if line.endswith(": done")] == [
        f"{ended + 1} of {total}" for ended in range(total)
    ]
    assert "before" not in outcome.err.replace("come before their branches", "")
    alone = command(*argv, *TINY, "--replicate=1-2", f"--root={tmp_path / 'alone'}")
    assert len(workers.tasks) == total
    assert outcome.out.replace(str(place.root), str(tmp_path / "alone")) == alone.out
    assert results(place.root) == results(tmp_path / "alone")


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["train", "--replicate=1-2", "--help"], 0),
        (["lottery", "--replicate=1-2", "--help"], 0),
        (["lottery_branch", "shuffle", "--replicate=1-2", "--help"], 0),
        (["train", "--replicate=1-2", "--display_output_location"], 0),
        (["lottery", "--k=0,1", "--display_output_location"], 0),
        (["lottery_branch", "shuffle", "--k=0,1", "--display_output_location"], 0),
        (["lottery", "--k=0,1", "--dry_run"], 0),
        (["train", "--replicate=1-2", "--dataset=image_folder:none"], 2),
        (["lottery", "--replicate=1-2", "--dataset=image_folder:none"], 2),
        (["lottery", "--k=1,200"], 2),
        (["lottery", "--k=1,999it"], 2),  # beyond the end, which is known once the data are
        (["lottery_branch", "rewind", "--start_step=9ep", "--k=0,1"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_no_worker_is_started_for_nothing(
    argv: list[str], code: int, command: Command, place: Any, workers: Any
) -> None:
    name = 2 if argv[0] == "lottery_branch" else 1
    assert command(*argv[:name], *TINY, *argv[name:], "--jobs=2", *place.flags).code == code
    assert workers.processes == []
    assert not place.root.exists()


def test_what_is_done_needs_no_worker(
    command: Command, finished: Any, small: tuple[str, ...], workers: Any, steps_taken: list[int]
) -> None:
    argv = ("lottery", *small, "--k=1", "--jobs=2", *finished.flags)
    first = command(*argv, "--pruning_strategy=adsynflow,random")
    assert kinds_of(workers.tasks) == ["level", "level_mask"]  # those of the one that is not done
    assert len(steps_taken) == 2 * 23
    steps_taken.clear()
    again = command(*argv, "--pruning_strategy=adsynflow,random")
    assert (again.code, again.out) == (0, first.out)
    assert again.err.count("Nothing was trained") == 2
    assert len(workers.tasks) == 2
    assert steps_taken == []


def test_one_that_fails_does_not_cost_the_others_and_says_why_as_without_jobs(
    command: Command, finished: Any, small: tuple[str, ...], workers: Any
) -> None:
    """One of 1,184 weights leaves a layer empty; half of them do not."""
    argv = ("lottery", *small, "--k=1", "--pruning_strategy=random", "--density=0.0008,0.5", *finished.flags)
    outcome = command(*argv, "--jobs=2")
    assert outcome.code == 2
    assert "random, k=1ep, replicate 1, level 1: failed" in outcome.err
    assert "trying once more" not in outcome.err  # it would be refused again
    assert [line.split()[3] for line in outcome.out.splitlines()[1:3]] == ["0.08%", "50%"]
    assert "0 of 1; 1 collapsed" in outcome.out
    assert len(workers.tasks) == 4
    quiet = command(*argv, "--quiet")
    assert (quiet.code, quiet.out) == (2, outcome.out)
    assert outcome.err.endswith(quiet.err)
    assert command(*argv, "--quiet", "--jobs=2").err == quiet.err


def test_warnings_of_workers_are_passed_on(
    command: Command, finished: Any, small: tuple[str, ...], workers: Any
) -> None:
    argv = ("lottery", *small, "--k=1", "--pruning_strategy=random", "--density=0.0008,0.5", *finished.flags)
    outcome = command(*argv, "--allow_collapse", "--jobs=2", "--quiet")
    assert outcome.code == 0
    assert len(workers.tasks) == 4
    [warning] = outcome.err.splitlines()
    assert warning.startswith("random, k=1ep, replicate 1, ")
    assert "leaves no weight in fc.weight" in warning


def test_the_figures_are_drawn_once(command: Command, place: Any, workers: Any) -> None:
    argv = ("lottery_branch", "stability", *TINY, "--k=1", "--alphas=2", "--replicate=1-2", "--jobs=2", *place.flags)
    outcome = command(*argv)
    assert outcome.code == 0
    assert outcome.err.count("Tables and figures: ") == 1
    assert len(list(place.root.rglob("*.svg"))) == len(list(place.root.glob("report/stability_*/*.svg"))) > 0


def test_with_auto_the_analyses_have_workers_and_then_the_runs_have(
    command: Command, place: Any, workers: Any
) -> None:
    search = ("--k=auto", "--max_k=0", "--threshold=0.99", "--alphas=2", "--report=false")
    outcome = command("lottery", *TINY, *search, "--replicate=1-2", "--density=0.5", "--jobs=2", *place.flags)
    assert outcome.code == 0
    kinds = [task["task"] for task in workers.tasks]
    assert kinds.count("comparison") == kinds.count("level") == 2
    assert kinds.count("child") == 4
    last_analysis = max(place for place, kind in enumerate(kinds) if kind == "comparison")
    assert min(place for place, kind in enumerate(kinds) if kind == "level") > last_analysis
    assert {task["desc"]["k"] for task in workers.tasks if task["task"] == "level"} == {"0ep0it"}
    assert outcome.out.splitlines()[-1].split()[-2] == "2"  # replicates


# With what -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "each"),
    [
        (["--threads=3"], 3),
        (["--threads=3", "--jobs=4"], 3),
        ([], 8),
        (["--jobs=4"], 2),
        (["--jobs=100"], 1),
    ],
)
def test_threads_of_a_worker_are_those_asked_for_or_a_share(
    flags: list[str], each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    line = read_command("train", flags)
    assert line is not None
    assert line.make_session().entries()["threads"] == each
