"""``--jobs``: several runs at once, each a process of its own."""

import contextlib
import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cli.jobs
import pytest
from cli.jobs import Ending, run_all
from cli.single_runs import SingleRun, those_of_a_trunk_apart
from filelock import FileLock

from cli import main
from cli.options import RunOptions
from cli.running import default_threads, threads_of
from foundations.errors import UsageError
from foundations.reporting import Reporter

Command = Callable[..., Any]
HOME = Path(__file__).parent.parent.parent
TINY = ("--dataset=digits", "--model=mnist_lenet_4", "--training_steps=2ep", "--threads=1")


def results(root: Path) -> dict[str, bytes]:
    """The bytes of all weights, masks and metrics below ``root``."""
    kinds = (".safetensors", "metrics.jsonl")
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.name.endswith(kinds)}


def in_this_process(command: Sequence[str]) -> Ending:
    """Runs a child's command line here, where everything is imported already."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        return Ending(main(command), errors.getvalue())


def children_in_this_process(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Has children run one after the other here: ``.commands`` has their command lines, ``.run`` runs one."""
    seen = SimpleNamespace(commands=[], run=in_this_process)

    def stand_in(commands: Any, jobs: int, what: str, reporter: Reporter, ended: Any = lambda *_: None) -> None:
        for place, command in enumerate(commands):
            seen.commands.append(list(command))
            ended(place, seen.run(command))

    monkeypatch.setattr("cli.single_runs.run_all", stand_in)
    monkeypatch.setattr("cli.stability_runs.run_all", stand_in)
    return seen


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    return children_in_this_process(monkeypatch)


# Processes -----------------------------------------------------------------------------------------------------------


def test_interrupted_it_goes_on_and_ends_in_the_bits_of_a_command_without_it(
    command: Command, place: Any, tmp_path: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs over one trunk; Ctrl-C comes when the first epoch of a subnetwork is over."""
    started: list[subprocess.Popen[str]] = []
    real = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> Any:
        started.append(real(*arguments, **options))
        return started[-1]

    def interrupted(futures: Any) -> Iterator[Any]:
        for _ in range(6000):
            metrics = place.root.glob("lottery_*/replicate_1/level_1/metrics.jsonl")
            if any(len(path.read_text().splitlines()) >= 2 for path in metrics):
                break
            time.sleep(0.005)
        raise KeyboardInterrupt
        yield

    argv = ("lottery", *small, "--training_steps=8ep", "--k=1", "--pruning_strategy=magnitude,random")
    with monkeypatch.context() as patch:
        patch.setattr(cli.jobs.subprocess, "Popen", popen)
        patch.setattr(cli.jobs, "as_completed", interrupted)
        outcome = command(*argv, "--jobs=2", *place.flags)
    assert outcome.code == 130
    assert "2 runs in 2 processes at once" in outcome.err
    assert outcome.err.splitlines()[-1] == "Interrupted. The same command goes on from the last checkpoint."
    assert [process.poll() for process in started] == [-signal.SIGTERM] * 2
    assert not list(place.root.rglob("done.json"))

    children = children_in_this_process(monkeypatch)
    again = command(*argv, "--jobs=2", *place.flags)
    assert (again.code, len(children.commands)) == (0, 2)
    alone = command(*argv, f"--root={tmp_path / 'alone'}")
    assert again.out.replace(str(place.root), str(tmp_path / "alone")) == alone.out
    assert results(place.root) == results(tmp_path / "alone")


LAUNCHER = """
import sys
from pathlib import Path
import cli.jobs
from foundations.reporting import Reporter
cli.jobs.MAIN = Path(sys.argv[1])
cli.jobs.run_all([["train", "a"], ["train", "b"]], 2, "runs", Reporter())
"""

CHILD = f"""
import sys, time, types
from pathlib import Path
from filelock import FileLock
sys.path.insert(0, {str(HOME)!r})
from cli import main
def run(flags):
    here = Path(__file__).parent
    lock = FileLock(here / f"{{flags[0]}}.lock")
    lock.acquire()
    (here / f"{{flags[0]}}.ready").touch()
    time.sleep(60)
sys.modules["cli.commands.train"] = types.SimpleNamespace(run=run)
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_its_parent_however_that_ends(number: signal.Signals, tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text(CHILD)
    parent = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(child)], cwd=HOME, stderr=subprocess.DEVNULL)
    try:
        for _ in range(3000):
            if (tmp_path / "a.ready").exists() and (tmp_path / "b.ready").exists():
                break
            time.sleep(0.005)
    finally:
        parent.send_signal(number)
    assert parent.wait(10) == -number
    for name in "ab":
        FileLock(tmp_path / f"{name}.lock").acquire(timeout=10)  # it is free once the child is gone


def test_one_is_told_how_each_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "main.py"
    script.write_text("import sys; print('first', '', 'why', sep='\\n', file=sys.stderr); sys.exit(int(sys.argv[1]))")
    monkeypatch.setattr(cli.jobs, "MAIN", script)
    endings: dict[int, Ending] = {}
    run_all([["3"], ["0"]], 2, "runs", Reporter(), endings.__setitem__)
    assert {place: ending.code for place, ending in endings.items()} == {0: 3, 1: 0}
    assert endings[0].lines == ["first", "why"]
    with pytest.raises(UsageError, match="One of the runs ended with exit code 3:\nfirst\nwhy"):
        run_all([["3"], ["0"]], 2, "runs", Reporter())


# Commands ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [("train",), ("lottery", "--k=1", "--levels=0-1"), ("lottery_branch", "shuffle", "--k=1")],
    ids=lambda argv: argv[0],
)
def test_every_command_leaves_its_runs_to_children(
    argv: tuple[str, ...], command: Command, place: Any, tmp_path: Path, children: SimpleNamespace
) -> None:
    outcome = command(*argv, *TINY, "--replicate=1-2", "--jobs=2", *place.flags)
    assert outcome.code == 0
    shared = [*argv, *TINY[:-1], *place.flags]
    assert [sorted(line) for line in children.commands] == [
        sorted([*shared, f"--replicate={replicate}", "--threads=1", "--quiet"]) for replicate in (1, 2)
    ]
    assert [line.split(",")[0] for line in outcome.err.splitlines()[:2]] == ["1 of 2", "2 of 2"]
    assert "before" not in outcome.err
    alone = command(*argv, *TINY, "--replicate=1-2", f"--root={tmp_path / 'alone'}")
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
        (["train", "--replicate=1-2", "--dataset=image_folder:none"], 2),
        (["lottery", "--replicate=1-2", "--dataset=image_folder:none"], 2),
        (["lottery", "--k=1,200"], 2),
        (["lottery", "--k=1,999it"], 2),  # beyond the end, which is known once the data are
        (["lottery_branch", "rewind", "--start_step=9ep", "--k=0,1"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_no_child_is_started_for_nothing(
    argv: list[str], code: int, command: Command, place: Any, children: SimpleNamespace
) -> None:
    name = 2 if argv[0] == "lottery_branch" else 1
    assert command(*argv[:name], *TINY, *argv[name:], "--jobs=2", *place.flags).code == code
    assert children.commands == []
    assert not place.root.exists()


def test_what_is_done_needs_no_child(
    command: Command, finished: Any, small: tuple[str, ...], children: SimpleNamespace, steps_taken: list[int]
) -> None:
    """Of two runs one is done, so that the other has no company."""
    argv = ("lottery", *small, "--k=1", "--jobs=2", *finished.flags)
    assert command(*argv, "--pruning_strategy=adsynflow,random").code == 0
    assert len(steps_taken) == 2 * 23
    steps_taken.clear()
    again = command(*argv, "--pruning_strategy=adsynflow,random")
    assert again.err.count("Nothing was trained") == 2
    assert children.commands == []
    assert steps_taken == []


def test_one_that_fails_does_not_cost_the_others_and_says_why_as_without_jobs(
    command: Command, finished: Any, small: tuple[str, ...], children: SimpleNamespace
) -> None:
    """One of 1,184 weights leaves a layer empty; half of them do not."""
    argv = ("lottery", *small, "--k=1", "--pruning_strategy=random", "--density=0.0008,0.5", *finished.flags)
    outcome = command(*argv, "--jobs=2")
    assert outcome.code == 2
    assert "random, k=1ep, replicate 1: exit code 2, to be tried again at the end; level_1: random" in outcome.err
    assert outcome.out.splitlines()[1].split()[:4] == ["random", "1ep", "1", "50.00%"]
    quiet = command(*argv, "--quiet")
    assert (quiet.code, quiet.out) == (2, outcome.out)
    assert outcome.err.endswith(quiet.err)
    assert command(*argv, "--quiet", "--jobs=2").err == quiet.err


def test_one_that_was_killed_is_finished_by_the_parent(command: Command, place: Any, children: SimpleNamespace) -> None:
    def killed_at_first(argv: Sequence[str]) -> Ending:
        return in_this_process(argv) if len(children.commands) > 1 else Ending(-9, "")

    children.run = killed_at_first
    outcome = command("train", *TINY, "--replicate=1-2", "--jobs=2", *place.flags)
    assert outcome.code == 0
    assert "1 of 2, replicate 1: exit code -9, to be tried again at the end" in outcome.err
    assert len(list(place.root.rglob("done.json"))) == 2


def test_warnings_of_children_are_passed_on(
    command: Command, finished: Any, small: tuple[str, ...], children: SimpleNamespace
) -> None:
    argv = ("lottery", *small, "--k=1", "--pruning_strategy=random", "--density=0.0008,0.5", *finished.flags)
    outcome = command(*argv, "--allow_collapse", "--jobs=2", "--quiet")
    assert outcome.code == 0
    assert len(children.commands) == 2
    [warning] = outcome.err.splitlines()
    assert warning.startswith("random, k=1ep, replicate 1: ")
    assert "leaves no weight in fc.weight" in warning


def test_the_figures_are_drawn_once(command: Command, place: Any, children: SimpleNamespace) -> None:
    argv = ("lottery_branch", "stability", *TINY, "--k=1", "--alphas=2", "--replicate=1-2", "--jobs=2", *place.flags)
    assert command(*argv).code == 0
    assert all("--report=false" in line for line in children.commands)
    assert len(children.commands) == 2
    assert len(list(place.root.rglob("*.svg"))) == len(list(place.root.glob("report/stability_*/*.svg"))) > 0


def test_with_auto_the_search_has_children_and_then_the_runs_are(
    command: Command, place: Any, children: SimpleNamespace
) -> None:
    search = ("--k=auto", "--max_k=0", "--threshold=0.99", "--alphas=2", "--report=false")
    outcome = command("lottery", *TINY, *search, "--replicate=1-2", "--density=0.5", "--jobs=2", *place.flags)
    assert outcome.code == 0
    assert [line[0] for line in children.commands] == ["stability"] * 4 + ["lottery"] * 2
    assert all("--k=0ep0it" in line for line in children.commands)
    assert "(n=2)" in outcome.out.splitlines()[-1]


# What is started when, and with what ---------------------------------------------------------------------------------


def test_the_first_run_of_each_trunk_comes_first() -> None:
    """Runs are named by trunk and k; the smallest k of a trunk is its first."""

    def single(name: str) -> SingleRun:
        trunk: Any = SimpleNamespace(store=SimpleNamespace(path=name[0]))
        return SingleRun(name, (), trunk, int(name[1:]), lambda: None, lambda: False)

    names = ["a9", "a0", "b9", "b0", "a5", "c7"]
    ordered = those_of_a_trunk_apart([single(name) for name in names])
    assert [run.label for run in ordered] == ["a0", "b0", "c7", "a5", "b9", "a9"]


@pytest.mark.parametrize(
    ("threads", "jobs", "each"),
    [(3, 1, 3), (3, 4, 3), (None, 1, None), (None, 4, 2), (None, 100, 1)],
)
def test_threads_are_those_asked_for_or_a_share(
    threads: int | None, jobs: int, each: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.running.default_threads", lambda: 8)
    assert threads_of(RunOptions(threads=threads, jobs=jobs)) == each


def test_the_default_is_what_it_was_before_a_command_set_it(command: Command, place: Any) -> None:
    before = default_threads()
    command("train", *TINY[:-1], "--threads=3", "--display_output_location", *place.flags)
    assert default_threads() == before
