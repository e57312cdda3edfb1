"""What is Slurm's own: arrays, what a later command finds in the queue, jobs that are lost. The rest: test_engines."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.run import slurm as engine
from experiments.run import slurm_jobs, task_process
from experiments.run.engines import run_plan
from experiments.run.plan import make_plan
from experiments.run.slurm import given, layers
from experiments.run.slurm_jobs import JobAnswer, JobRecord, SlurmJob, record_of
from experiments.run.tasks import Task
from experiments.session import Session
from foundations.errors import UsageError
from tests.conftest import Listener
from tests.experiments.pretend_slurm import Slurm, slurm  # noqa: F401  a fixture
from tests.experiments.stub_work import attempts
from tests.experiments.test_engines import done, fast_workers  # noqa: F401  a fixture among them

Stubs = Callable[..., list[Task]]


@pytest.fixture
def run(make_session: Callable[..., Session], slurm: Slurm) -> Callable[..., Any]:  # noqa: F811
    """``run(tasks, detach=True)``."""

    def run(tasks: list[Task], **options: Any) -> Any:
        session = make_session(engine="slurm", **options)
        return run_plan(make_plan(tasks, session), session)

    return run


def ended(slurm: Slurm) -> bool:  # noqa: F811
    """Whether nothing waits or runs any more."""
    return not {"PENDING", "RUNNING"} & set(slurm.states.values())


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


# Arrays --------------------------------------------------------------------------------------------------------------


def test_a_layer_is_an_array_that_waits_for_what_it_needs_of_the_ones_before(
    run: Callable[..., Any], stubs: Stubs, slurm: Slurm  # noqa: F811
) -> None:
    assert run(stubs(root="", alone="", left="root", right="root", top="left right")) == []
    assert slurm.arrays == [
        (["1_0", "1_1"], []), (["2_0", "2_1"], ["1_0"]), (["3_0"], ["2_0", "2_1"]),
    ]  # fmt: skip


def test_layers_are_as_deep_as_what_stands_below(stubs: Stubs) -> None:
    a, b, c, d = stubs(a="", b="a", c="a b", d="")
    assert list(layers([a, b, c, d], {a: [], b: [a], c: [a, b], d: []})) == [[a, d], [b], [c]]
    assert list(layers([c, d], {c: [a, b], d: []})) == [[c, d]]


def test_nothing_is_left_on_the_disk_of_what_is_done(run: Callable[..., Any], stubs: Stubs, tmp_path: Path) -> None:
    tasks = stubs(a="", bad=": raise")
    run(tasks)
    records = [record_of(task.entries(), tmp_path / "runs") for task in tasks]
    assert [(bool(record.number), record.path.exists()) for record in records] == [(False, False), (True, True)]


# Another command -----------------------------------------------------------------------------------------------------


def test_what_is_queued_is_not_submitted_again(
    run: Callable[..., Any], stubs: Stubs, slurm: Slurm, listener: Listener  # noqa: F811
) -> None:
    tasks = stubs(a="", b="a", c="")
    slurm.holds = lambda job: True
    assert run(tasks[:2], detach=True) == []
    assert run(tasks, detach=True) == []
    assert [numbers for numbers, _ in slurm.arrays] == [["1_0"], ["2_0"], ["3_0"]]
    assert "3 tasks: 1 submitted to Slurm, 2 queued or running already" in listener.said


def test_a_later_command_finds_what_has_failed_and_does_only_what_is_missing(
    run: Callable[..., Any], stubs: Stubs, slurm: Slurm, tmp_path: Path  # noqa: F811
) -> None:
    tasks = stubs(bad=": raise", top="bad", other="")
    run(tasks, detach=True)
    wait_until(lambda: ended(slurm))
    assert done(tmp_path) == {"other"}
    [failure] = run(stubs(bad=": raise", top="bad", other=""))
    assert [task.part for task in failure.skipped] == ["top"]
    assert attempts(tmp_path).count("bad") == 4  # twice by each command
    assert run(stubs(bad="", top="bad", other="")) == []
    assert attempts(tmp_path).count("other") == 1


def test_a_job_that_found_nothing_to_stand_on_is_submitted_again(
    run: Callable[..., Any], stubs: Stubs, slurm: Slurm, tmp_path: Path  # noqa: F811
) -> None:
    """The first of two jobs was cancelled; the second ends as soon as it has begun."""
    tasks = stubs(a="", b="a")
    slurm.holds = lambda job: job.task["node"] == "a"
    run(tasks, detach=True)
    slurm.cancel(["1_0"])
    slurm.holds = lambda job: False
    assert run(tasks) == []
    assert attempts(tmp_path) == ["a", "b"]


# Jobs that come to nothing -------------------------------------------------------------------------------------------


def test_a_job_that_is_lost_is_replaced_once(
    run: Callable[..., Any], stubs: Stubs, slurm: Slurm, tmp_path: Path, listener: Listener  # noqa: F811
) -> None:
    lost: list[SlurmJob] = []

    def lose_the_first(job: SlurmJob) -> None:
        if not lost:
            lost.append(job)
            raise MemoryError

    slurm.before = lose_the_first
    assert run(stubs(a="", b="a")) == []
    logs = tmp_path / "runs/slurm/logs"
    assert listener.warned == [
        f"stubs, a: its job 1_0 ended without a result (failed); see {logs}; trying once more"
    ]
    assert attempts(tmp_path) == ["a", "b"]


def test_a_job_that_is_cancelled_is_not_tried_again_and_the_command_ends_with_1(
    run: Callable[..., Any], stubs: Stubs, slurm: Slurm, tmp_path: Path  # noqa: F811
) -> None:
    slurm.holds = lambda job: job.task["node"] == "a"
    slurm.before = lambda job: slurm.cancel(["1_0"])
    [failure] = run(stubs(a="", b="a", c=""))
    assert (failure.reason, failure.exit_code) == ("its job 1_0 was cancelled", 1)
    assert [task.part for task in failure.skipped] == ["b"]
    assert done(tmp_path) == {"c"}


# What runs on a node -------------------------------------------------------------------------------------------------


@pytest.fixture
def job(stubs: Stubs, make_session: Callable[..., Session], tmp_path: Path) -> Callable[[str], SlurmJob]:
    """The job of a task that does what a text says."""

    def job(does: str) -> SlurmJob:
        [task] = stubs(a=f": {does}")
        session = make_session().entries_elsewhere()
        return SlurmJob(tmp_path / "job", task.entries(), session)

    return job


def test_a_process_that_is_killed_is_replaced_within_the_job(job: Callable[[str], SlurmJob], tmp_path: Path) -> None:
    assert job("be killed once")() == "done"
    [warning] = JobRecord(tmp_path / "job").answer.warnings
    assert warning == "its process ended with exit code -9; trying once more"


@pytest.mark.parametrize(("does", "tries"), [("raise", 2), ("refuse", 1), ("exit", 2)])
def test_how_it_failed_stays_on_the_disk(
    does: str, tries: int, job: Callable[[str], SlurmJob], tmp_path: Path
) -> None:
    assert job(does)() == "failed"
    answer = JobRecord(tmp_path / "job").answer
    assert (answer.state, answer.answer["refused"]) == ("failed", does == "refuse")
    assert len(attempts(tmp_path)) == tries
    if does == "exit":
        assert answer.answer["details"] == "last words\nand why"


def test_submitit_does_it(job: Callable[[str], SlurmJob], tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    assert submitit.DebugExecutor(tmp_path / "logs").submit(job("")).result() == "done"


def test_a_job_whose_need_is_not_done_does_nothing(job: Callable[[str], SlurmJob], tmp_path: Path) -> None:
    need = JobRecord(tmp_path / "need")
    waits = replace(job(""), after=[need.path])
    for state in ("waiting", "failed", "skipped"):
        need.write_json("answer.json", {"state": state})
        assert waits() == "skipped"
    assert attempts(tmp_path) == []
    need.write_json("answer.json", {"state": "done"})
    assert waits() == "done"


def test_before_an_allocation_ends_the_process_is_stopped_and_the_job_goes_on_in_the_next(
    job: Callable[[str], SlurmJob], tmp_path: Path
) -> None:
    """Slurm sends the signal to all processes of a job; submitit's handler calls ``checkpoint``."""
    pytest.importorskip("submitit")
    waits, submissions = job("wait"), []

    def near_the_end(*_: Any) -> None:
        waits.hear({"steps": 7})
        submissions.append(waits.checkpoint())
        raise SystemExit

    def send() -> None:
        wait_until((tmp_path / "a.waits").exists)
        assert waits.child.process is not None
        for process in (waits.child.process.pid, os.getpid()):
            os.kill(process, task_process.BEFORE_THE_END)

    before = signal.signal(task_process.BEFORE_THE_END, near_the_end)
    sender = threading.Thread(target=send)
    try:
        sender.start()
        with pytest.raises(SystemExit):
            waits()
    finally:
        sender.join()
        signal.signal(task_process.BEFORE_THE_END, before)
    assert waits.child.process is not None
    assert waits.child.process.returncode == -signal.SIGTERM  # not by the signal that it got first
    assert submissions[0].function == replace(waits)
    answer = JobRecord(tmp_path / "job").answer
    assert (answer.state, answer.steps, answer.idle) == ("waiting", 7, 0)


def test_allocations_that_are_too_short_for_a_step_come_to_an_end(
    job: Callable[[str], SlurmJob], tmp_path: Path
) -> None:
    pytest.importorskip("submitit")
    for time_ in range(slurm_jobs.MOST_IDLE):
        one = job("")
        one()
        assert (one.checkpoint() is None) == (time_ == slurm_jobs.MOST_IDLE - 1)
    answer = JobRecord(tmp_path / "job").answer
    assert (answer.state, answer.answer["reason"]) == ("failed", slurm_jobs.TOO_SHORT)


# Flags ---------------------------------------------------------------------------------------------------------------


def test_options_of_sbatch_are_passed_through() -> None:
    parts = ("partition=gpu", "time=240", "exclude=n1", "n2", "mail-user=a@b", "exclusive=true")
    assert engine.given(parts) == {
        "partition": "gpu", "time": 240, "exclude": "n1,n2", "mail_user": "a@b", "exclusive": True,
    }  # fmt: skip


@pytest.mark.parametrize(("text", "minutes"), [("4:00:00", 240), ("1-12:30:01", 2191), ("0:00:30", 1)])
def test_a_time_may_be_written_as_for_sbatch(text: str, minutes: int) -> None:
    assert given((f"time={text}",)) == {"time": minutes}


@pytest.mark.parametrize("parts", [("gpu",), ("partition=",), ("=3",), ("time=4:00",), ("time=0",), ("array=0-3",)])
def test_what_is_no_option_is_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="--slurm="):
        engine.given(parts)


def test_what_is_no_option_is_refused_before_anything_is_read(make_session: Callable[..., Session]) -> None:
    make_session(engine="slurm", slurm="partition=long,gpu,time=3,signal_delay_s=60")
    with pytest.raises(UsageError, match="--slurm=gpu: expected options of sbatch"):
        make_session(engine="slurm", slurm="gpu")


def test_a_script_asks_for_what_the_flags_say(
    make_session: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr(engine.shutil, "which", lambda name: name)
    options = make_session(
        engine="slurm", cpus_per_task=4, gpus_per_task=2.0, slurm=("partition=gpu", "time=240", "reservation=mine")
    ).options
    executor = engine.SlurmQueue(tmp_path, options).executor(dependency="afterany:1_0")
    text = executor._make_submission_file_text("x", "1")
    for line in (
        "partition=gpu", "time=240", "reservation=mine", "cpus-per-task=4", "gpus-per-node=2", "signal=USR2@90",
        "dependency=afterany:1_0",
    ):  # fmt: skip
        assert f"#SBATCH --{line}\n" in text
    assert "--cpus-per-task=4 " in text.partition("srun")[2]


def test_where_there_is_no_slurm_that_is_said(make_session: Callable[..., Session], stubs: Stubs) -> None:
    if engine.shutil.which("sbatch"):
        pytest.skip("there is one here")
    session = make_session(engine="slurm")
    with pytest.raises(UsageError, match="no sbatch here"):
        run_plan(make_plan(stubs(a=""), session), session)


def test_a_record_of_another_version_is_read(tmp_path: Path) -> None:
    record = JobRecord(tmp_path / "a")
    assert (record.number, record.answer) == ("", JobAnswer())
    record.write_json("job.json", {"job": "1", "later": 1})
    record.write_json("answer.json", {"state": "done", "later": 1})
    assert (record.number, record.answer.state) == ("1", "done")
