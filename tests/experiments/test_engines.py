"""The one rule for failure that every engine keeps, on tasks that do what a test says."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli import main
from cli.running import report_failures
from experiments.run import task_process
from experiments.run.engines import Failure, engines, run_plan
from experiments.run.plan import Plan, make_plan
from experiments.run.tasks import Task
from experiments.session import Session, do_tasks
from experiments.workspace import Workspace
from foundations.errors import UsageError
from tests.conftest import Listener
from tests.experiments.pretend_slurm import Slurm, slurm  # noqa: F401  a fixture
from tests.experiments.stub_work import attempts

HERE = Path(__file__).parent
HOME = HERE.parents[1]
Stubs = Callable[..., list[Task]]
Run = Callable[[Sequence[Task]], list[Failure]]


@pytest.fixture(autouse=True)
def fast_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_process, "MAIN", HERE / "fast_worker.py")


WAYS = {
    "one after the other": {"engine": "in_process"},
    "side by side": {"at_once": 2},
    "in two processes": {"jobs": 2},
    "as jobs of Slurm": {"engine": "slurm"},
}


@pytest.fixture(params=WAYS)
def run(request: pytest.FixtureRequest, make_session: Callable[..., Session], slurm: Slurm) -> Run:  # noqa: F811
    """Runs tasks in each of the ways that there are."""

    def run(tasks: Sequence[Task]) -> list[Failure]:
        return run_and_release(tasks, make_session(**WAYS[request.param]))

    return run


def run_and_release(tasks: Sequence[Task], session: Session) -> list[Failure]:
    """As a grid does it."""
    try:
        return run_plan(make_plan(tasks, session), session)
    finally:
        session.release()


def done(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.done")}


def nodes(tasks: Sequence[Task]) -> list[str]:
    return [task.part for task in tasks]


# What every engine does ----------------------------------------------------------------------------------------------


def test_each_task_is_done_once_and_after_those_that_it_waits_for(run: Run, stubs: Stubs, tmp_path: Path) -> None:
    tasks = stubs(top="left right", left="root", right="root", alone="", root="")
    assert run(tasks[:1] + tasks[3:4]) == []
    order = attempts(tmp_path)
    assert sorted(order) == ["alone", "left", "right", "root", "top"]
    assert order.index("root") < min(order.index("left"), order.index("right"))
    assert max(order.index("left"), order.index("right")) < order.index("top")


def test_nothing_is_done_again(run: Run, stubs: Stubs, tmp_path: Path) -> None:
    tasks = stubs(a="", b="a")
    assert run(tasks) == run(tasks) == []
    assert attempts(tmp_path) == ["a", "b"]


def test_one_that_fails_is_tried_once_more(run: Run, stubs: Stubs, tmp_path: Path, listener: Listener) -> None:
    assert run(stubs(a=": raise once", b="a")) == []
    assert attempts(tmp_path) == ["a", "a", "b"]
    assert listener.warned == ["stubs, a: ZeroDivisionError: a defect; trying once more"]


def test_what_stands_on_a_failure_is_skipped_and_listed_and_the_rest_is_done(
    run: Run, stubs: Stubs, tmp_path: Path
) -> None:
    tasks = stubs(bad=": raise", above="bad", top="above other", other="", more="other")
    [failure] = run(tasks)
    assert (failure.task, failure.refused) == (tasks[0], False)
    assert failure.reason == "ZeroDivisionError: a defect"
    assert "Traceback" in failure.details
    assert set(nodes(failure.skipped)) == {"above", "top"}
    assert done(tmp_path) == {"other", "more"}
    assert attempts(tmp_path).count("bad") == 2


def test_what_stands_on_two_failures_is_listed_once(run: Run, stubs: Stubs) -> None:
    failures = run(stubs(a=": raise", b=": refuse", top="a b"))
    assert sorted(nodes([failure.task for failure in failures])) == ["a", "b"]
    assert nodes([task for failure in failures for task in failure.skipped]) == ["top"]


def test_what_is_for_the_user_to_mend_is_not_tried_again(run: Run, stubs: Stubs, tmp_path: Path) -> None:
    [failure] = run(stubs(a=": refuse", b=""))
    assert (failure.refused, failure.reason) == (True, "--lr=1: unsuitable")
    assert sorted(attempts(tmp_path)) == ["a", "b"]


def test_warnings_are_passed_on(run: Run, stubs: Stubs, listener: Listener) -> None:
    assert run(stubs(a=": warn", b="")) == []
    assert [text.removeprefix("stubs, a: ") for text in listener.warned] == ["a layer is empty"]


def test_who_sends_a_task_to_a_worker_decides_whether_it_is_tried_again(
    stubs: Stubs, make_session: Callable[..., Session], tmp_path: Path
) -> None:
    [task] = stubs(a=": raise")
    message = json.loads(make_session().task_line(task))
    for line, tries in ({**message, "tries": 1}, 1), (message, 2):
        before = len(attempts(tmp_path))
        do_tasks([json.dumps(line)], io.StringIO())
        assert len(attempts(tmp_path)) - before == tries


# In this process -----------------------------------------------------------------------------------------------------


def test_in_this_process_an_interruption_ends_everything(
    make_session: Callable[..., Session], stubs: Stubs, tmp_path: Path
) -> None:
    session = make_session()
    with pytest.raises(KeyboardInterrupt):
        run_plan(make_plan(stubs(a="", b="a: interrupt", c=""), session), session)
    assert attempts(tmp_path) == ["a", "b"]


def test_a_full_disk_is_for_the_user_to_mend(
    make_session: Callable[..., Session], stubs: Stubs, tmp_path: Path
) -> None:
    session = make_session()
    [failure] = run_plan(make_plan(stubs(a=": no space"), session), session)
    assert failure.refused
    assert "No space left on device" in failure.reason
    assert failure.reason.endswith("the same command goes on from the last checkpoint.")
    assert attempts(tmp_path) == ["a"]


def test_a_task_alone_needs_no_worker(
    make_session: Callable[..., Session], stubs: Stubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_process, "MAIN", tmp_path / "nowhere.py")
    session = make_session(jobs=2)
    assert run_plan(make_plan(stubs(a=""), session), session) == []
    assert done(tmp_path) == {"a"}


def test_engines_are_chosen_by_name_and_not_called_for_nothing(
    make_session: Callable[..., Session], stubs: Stubs
) -> None:
    called: list[int] = []

    @engines.register("own")
    def own(plan: Plan, session: Workspace) -> list[Failure]:
        called.append(len(plan))
        return []

    session = make_session(engine="own")
    assert run_plan(make_plan([], session), session) == run_plan(make_plan(stubs(a="", b=""), session), session) == []
    assert called == [2]
    with pytest.raises(UsageError, match=r"--engine=onw: unknown engine \(did you mean 'own'\?\)"):
        make_session(engine="onw")


# On the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("does", "code", "words"),
    [
        ("", 0, ""),
        ("raise once", 0, "trying once more"),
        ("raise", 1, "ZeroDivisionError: a defect"),
        ("refuse", 2, "--lr=1: unsuitable"),
    ],
)
def test_exit_codes(
    does: str, code: int, words: str, stubs: Stubs, stub_plugin: str, tmp_path: Path, capsys: Any
) -> None:
    """By ``task``; experiments end by the same rule."""
    [task] = stubs(a=f": {does}")
    (tmp_path / "task.json").write_text(json.dumps({"task": task.entries()}))
    assert main(["task", str(tmp_path / "task.json"), f"--root={tmp_path}", f"--plugin={stub_plugin}"]) == code
    said = capsys.readouterr()
    assert json.loads(said.out.splitlines()[-1])["ended"] == ("failed" if code else "done")
    assert words in said.out + said.err


def test_what_failed_decides_the_exit_code_of_a_command(stubs: Stubs, capsys: Any) -> None:
    defect, refused, skipped = stubs(a="", b="", c="a")
    failures = [
        Failure(defect, "ZeroDivisionError: a defect", False, "Traceback\n", (skipped,)),
        Failure(refused, "--lr=1: unsuitable", True),
    ]
    assert report_failures(failures) == 1
    assert capsys.readouterr().err.splitlines() == [
        "Traceback", "stubs, a: ZeroDivisionError: a defect", "  skipped, since it depends on that: stubs, c",
        "stubs: --lr=1: unsuitable", "", "A defect of the program or a plug-in. The same command resumes.",
    ]  # fmt: skip
    assert report_failures(failures[1:]) == 2
    assert capsys.readouterr().err.splitlines() == ["stubs: --lr=1: unsuitable"]


def test_a_plugin_that_prints_does_not_disturb_the_protocol(
    stubs: Stubs, make_session: Callable[..., Session], tmp_path: Path, capsys: Any
) -> None:
    task, other = stubs(a=": print", b="a")
    session = make_session()
    (tmp_path / "tasks").write_text(f"{session.task_line(task)}\n\n{session.task_line(other)}\n")
    assert main(["task", str(tmp_path / "tasks")]) == 0
    said = capsys.readouterr()
    assert [json.loads(line) for line in said.out.splitlines()] == [
        {"ended": "done", "task": "stubs, a"}, {"ended": "done", "task": "stubs, b"},
    ]  # fmt: skip
    assert "is what a plug-in prints" in said.err
