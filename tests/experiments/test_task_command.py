"""``task``: a part of an experiment, done alone."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import main
from experiments.session import Session
from foundations.reporting import Reporter
from tests.experiments.conftest import TINY
from training import loop

HOME = Path(__file__).parents[2]
LEVEL = "lottery_*/replicate_1/level_1"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "runs", threads=1, reporter=Reporter())


@pytest.fixture
def line(session: Session) -> str:
    """A line for the level of the finished run."""
    [task] = session.lottery(**TINY, k=1)[0].tasks()
    return session.task_line(task) + "\n"


@pytest.fixture
def from_standard_input(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``from_standard_input(text)`` does ``python main.py task -``; the exit code."""

    def run(text: str, *flags: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return main(["task", "-", *flags])

    return run


def weights(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in next(root.glob(LEVEL)).glob("*.safetensors")}


def test_in_a_process_of_its_own_it_does_what_it_needs_first(
    line: str, session: Session, tmp_path: Path, finished_root: Path
) -> None:
    (tmp_path / "level.json").write_text(line)
    done = subprocess.run(
        [sys.executable, "main.py", "task", str(tmp_path / "level.json")],
        cwd=HOME, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    *progress, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert last == {"ended": "done", "task": "adsynflow, k=1ep, replicate 1, level 1"}
    assert sum(line.get("steps", 0) for line in progress) == 46  # an epoch of the trunk and one of the level
    assert [line["epoch"].split(",")[0].split(": ")[1] for line in progress if "epoch" in line] == [
        "1ep of 1ep", "2ep of 2ep",
    ]  # fmt: skip
    assert weights(session.context.root) == weights(finished_root)
    assert not list(session.context.root.glob("train_*/replicate_1/done.json"))  # the trunk, but not past k


def test_from_standard_input_what_is_done_takes_no_step(
    line: str, root: Path, from_standard_input: Callable[..., int], steps_taken: list[int], capsys: Any
) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert from_standard_input(line) == 0
    assert json.loads(capsys.readouterr().out)["ended"] == "done"
    assert steps_taken == []
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_without_a_session_the_flags_say_where(
    line: str, root: Path, from_standard_input: Callable[..., int], tmp_path: Path, steps_taken: list[int]
) -> None:
    shutil.copytree(root, tmp_path / "elsewhere")
    next((tmp_path / "elsewhere").glob(LEVEL)).joinpath("done.json").unlink()
    alone = json.dumps({"task": json.loads(line)["task"]})
    assert from_standard_input(alone, f"--root={tmp_path / 'elsewhere'}", "--threads=1") == 0
    assert next((tmp_path / "elsewhere").glob(LEVEL)).joinpath("done.json").exists()
    assert steps_taken == []  # the checkpoint of the end was there


def test_interrupted_it_goes_on_from_its_checkpoint(
    session: Session, from_standard_input: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: Any,
    finished_root: Path,
) -> None:  # fmt: skip
    [task] = session.train(**TINY)[0].tasks()
    taken, real = [], loop.step

    def step(state: Any, *rest: Any) -> None:
        taken.append(state.iteration)
        if len(taken) == 30:  # in the second epoch of 23 steps
            raise KeyboardInterrupt
        real(state, *rest)

    monkeypatch.setattr(loop, "step", step)
    assert from_standard_input(session.task_line(task)) == 130
    assert "The same command goes on" in capsys.readouterr().err
    assert from_standard_input(session.task_line(task)) == 0
    assert taken == [*range(30), *range(23, 46)]
    end = "train_*/replicate_1/model_2ep0it.safetensors"
    [ours], [theirs] = session.context.root.glob(end), finished_root.glob(end)
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "A task is a line of JSON, not '{'"),
        ("[]", 'A task is a line of JSON: {"session": {...}, "task": {"task": KIND, ...}}'),
        ('{"session": {}}', "A task is a line of JSON: "),
        ('{"task": {"task": "trunk"}}', 'The first task comes with an entry "session"'),
        ('{"session": {"thread": 1}, "task": {}}', "Session: unknown option 'thread' (did you mean 'threads'?)"),
        ('{"session": {"threads": 0}, "task": {}}', "--threads=0: expected a number in [1, 1024]"),
        ('{"session": {}, "task": {"task": "levle"}}', "Unknown task 'levle' (did you mean 'level'"),
        ('{"session": 1, "task": {}}', "A task is a line of JSON: "),
    ],
)
def test_bad_lines_are_named(
    text: str, message: str, from_standard_input: Callable[..., int], capsys: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert from_standard_input(text) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_and_flags_that_are_none(tmp_path: Path, capsys: Any) -> None:
    assert main(["task", str(tmp_path / "gone")]) == 2
    assert capsys.readouterr().err == f"{tmp_path / 'gone'}: No such file or directory\n"
    assert main(["task", "-", "--lr=1"]) == 2
    assert capsys.readouterr().err.startswith("--lr=1: no flag of task; valid: --root, --data_dir, ")


@pytest.mark.parametrize("argv", [["--help"], ["-h"]])
def test_its_help(argv: list[str], capsys: Any) -> None:
    assert main(["task", *argv]) == 0
    assert capsys.readouterr().out.startswith("usage: python main.py task FILE|- ")
