"""Speed, time left, and how far a plan has come."""

import io
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from experiments.run.plan import make_plan
from experiments.run.plan_progress import PlanProgress, makespan, running_plans, store_of_plan
from experiments.run.progress import (
    PlainReporter,
    Throughput,
    TrainingThroughput,
    brief,
    fitted,
    make_reporter,
)
from experiments.run.tasks import Task
from experiments.session import Session
from foundations.reporting import Advanced, Began, Ended, Event, Reporter, RowAdded, Several, Training, Whole
from foundations.store import Store
from foundations.text import duration
from tests.conftest import Listener
from tests.experiments.conftest import TINY

Stubs = Callable[..., list[Task]]
TRAINING = Training(
    path=Path("/runs/lottery_0123/replicate_1/level_1"), first=20, until=120, iterations_per_epoch=10, batch_size=128,
    last={"test_loss": 2.5, "test_accuracy": 0.1},
)  # fmt: skip


class Clock:
    """Advances only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


# A training ----------------------------------------------------------------------------------------------------------


def test_the_speed_is_that_of_the_last_half_minute(clock: Clock) -> None:
    meter = Throughput(1000, clock=clock)
    assert (meter.per_second, meter.seconds_left) == (0.0, None)
    for _ in range(10):  # 1 a second for 100 s
        clock.now += 10
        meter.advance(10)
    assert meter.seconds_left == 900
    for _ in range(10):  # then 20 a second
        clock.now += 4
        meter.advance(80)
    assert (meter.per_second, meter.seconds_left) == (20.0, 5.0)


def test_a_line_has_epoch_step_loss_accuracy_images_a_second_and_time_left(clock: Clock) -> None:
    meter = TrainingThroughput(TRAINING, clock)
    assert meter.text() == "ep 2/12  it 20/120  loss 2.500  acc 10.0%"
    clock.now += 2
    meter.advance(10)
    assert meter.text() == "ep 3/12  it 30/120  loss 2.500  acc 10.0%  640 img/s  0:00:18 left"
    line = meter.epoch({"iteration": 30, "test_loss": 1.25, "test_accuracy": 0.5})
    assert line == (
        "lottery_0123/replicate_1/level_1: 3ep of 12ep, test accuracy 50.00%, loss 1.2500, 640 images/s, 0:00:18 left"
    )
    assert "loss 1.250  acc 50.0%" in meter.text()


def test_numbers_for_people() -> None:
    assert [duration(s) for s in (0.4, 59.6, 3725, 200_000)] == ["0:00:00", "0:01:00", "1:02:05", "2 d 7 h"]
    assert [brief(n) for n in (845, 12_345, 1_234_567)] == ["845", "12.3k", "1.2M"]


def test_a_line_takes_the_longest_name_that_fits() -> None:
    assert fitted(["a long name", "short"], "text", 17) == "a long name  text"
    assert fitted(["a long name", "short"], "text", 16) == "short  text"
    assert fitted(["a long name", "short"], "ep 1  it 2", 16) == "short ep 1 it 2"


def test_a_log_has_a_plain_line_an_epoch_with_the_time(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = PlainReporter()
    with reporter.during(Whole(lambda: "task 2 of 3")), reporter.during(TRAINING) as advance:
        advance(10)
        reporter.hear(RowAdded(TRAINING.path, {"iteration": 30, "test_loss": 1.25, "test_accuracy": 0.5}))
        reporter.hear(RowAdded(Path("/elsewhere"), {"iteration": 30}))
    [line] = capsys.readouterr().err.splitlines()
    time, name, *_ = line.split(" ")
    assert [len(part) for part in time.split(":")] == [2, 2, 2]
    assert name == "lottery_0123/replicate_1/level_1:"
    assert line.endswith("(task 2 of 3)")


def test_what_is_said_goes_to_a_logger_that_takes_other_handlers(capsys: pytest.CaptureFixture[str]) -> None:
    PlainReporter().say("by default")
    log, lines = logging.getLogger("adsynflow"), io.StringIO()
    own, before = logging.StreamHandler(lines), list(log.handlers)
    own.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.handlers[:] = [own]
    try:
        PlainReporter().warn("by mine")
        make_reporter(quiet=True).warn("quiet")
        make_reporter(quiet=True).say("not shown")
    finally:
        log.handlers[:] = before
    assert capsys.readouterr().err == "by default\n"
    assert lines.getvalue() == "WARNING by mine\nWARNING quiet\n"


# A plan --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobs", "time"),
    [
        (1, 10.0),  # all of them after each other
        (2, 7.0),  # a (1) then b (4) and c (2) at once, then d (2) behind b, e (1) meanwhile
        (9, 7.0),  # no more processes help: a, b, d wait for each other
    ],
)
def test_the_time_left_considers_what_waits_for_what(jobs: int, time: float) -> None:
    before: Mapping[Any, Any] = {"a": (), "b": ("a",), "c": ("a",), "d": ("b",), "e": ("gone",)}
    cost = {"a": 1.0, "b": 4.0, "c": 2.0, "d": 2.0, "e": 1.0}
    assert makespan("abcde", before, cost.__getitem__, jobs) == time


def test_a_plan_counts_steps_and_tasks(
    stubs: Stubs, make_session: Callable[..., Session], clock: Clock, tmp_path: Path
) -> None:
    a, b, c, d = tasks = stubs(a="", b="a", c="a", d="c")
    plan = make_plan(tasks, make_session())
    progress = PlanProgress(plan, {a: 100, b: 0, c: 300, d: 300}, jobs=1, command="lottery", clock=clock)
    assert progress.text() == "task 1 of 4, 0%"
    progress.hear(Began(a))
    clock.now += 10
    progress.hear(Advanced(a, 100))
    progress.hear(Ended(a))
    progress.hear(Began(b))
    clock.now += 5
    progress.hear(Ended(b))
    assert progress.text() == "task 3 of 4, 14%, 0:01:00 left in all"  # 600 steps of a tenth of a second
    progress.hear(Began(c))
    progress.hear(Advanced(c, 100))  # in another process
    found = progress.file()
    assert (found.done, found.running, found.failed, found.waiting) == (2, 1, 0, 1)
    assert (found.steps, found.steps_done) == (700, 200)
    progress.hear(Ended(c, failed=True, skipped=[d]))
    assert (progress.file().failed, progress.file().steps, progress.file().seconds_left) == (2, 200, 0)


def test_where_a_cluster_does_more_at_once_than_was_known_all_of_it_is_counted(
    stubs: Stubs, make_session: Callable[..., Session], clock: Clock
) -> None:
    a, b, c, bad = tasks = stubs(a="", b="", c="", bad="")
    progress = PlanProgress(make_plan(tasks, make_session()), dict.fromkeys(tasks, 100), jobs=1, clock=clock)
    progress.hear(Began(bad))
    progress.hear(Ended(bad, failed=True))
    for task in (a, b, c):
        progress.hear(Began(task))
    clock.now += 10
    for task in (a, b, c):
        progress.hear(Advanced(task, 50))
    text = "0 of 4 tasks done, 3 running, 1 failed, 15 steps/s, 50%, 0:00:10 left in all"
    assert progress.text() == text


def test_a_task_that_is_tried_again_is_counted_once(
    stubs: Stubs, make_session: Callable[..., Session], clock: Clock
) -> None:
    a, b = tasks = stubs(a="", b="a")
    progress = PlanProgress(make_plan(tasks, make_session()), {a: 100, b: 100}, jobs=1, clock=clock)
    progress.hear(Began(a))
    progress.hear(Advanced(a, 60))
    progress.hear(Began(a))
    progress.hear(Advanced(a, 100))
    progress.hear(Ended(a))
    assert (progress.meter.done, progress.meter.total) == (100, 200)


def test_no_thread_sees_half_of_what_another_one_tells(
    stubs: Stubs, make_session: Callable[..., Session], clock: Clock
) -> None:
    a, b = tasks = stubs(a="", b="a")
    progress = PlanProgress(make_plan(tasks, make_session()), {a: 100, b: 100}, jobs=1, clock=clock)
    reads: list[threading.Thread] = []
    seen: list[str] = []

    def read_in_the_middle() -> float:
        if not reads:
            reads.append(threading.Thread(target=lambda: seen.append(progress.text())))
            reads[0].start()
            reads[0].join(0.1)
        assert not seen, "the task has half ended"
        return clock.now

    progress.hear(Began(a))
    progress.clock = read_in_the_middle
    progress.hear(Ended(a))
    progress.clock = clock
    reads[0].join()
    assert seen == ["task 2 of 2, 0%"]


def test_writing_down_how_far_a_plan_has_come_takes_a_twentieth_of_the_time(
    make_session: Callable[..., Session], stubs: Stubs, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second to write, as a plan of many thousand tasks takes, of tasks of a second."""
    tasks = stubs(**{f"task_{number}": "" for number in range(50)})
    plan = make_plan(tasks, make_session())
    progress = PlanProgress(plan, dict.fromkeys(tasks, 0), jobs=1, store=Store(tmp_path), clock=clock)
    written: list[float] = []

    def write_slowly(store: Store, name: str, entries: object) -> None:
        written.append(clock.now)
        clock.now += 1

    monkeypatch.setattr(Store, "write_json", write_slowly)
    for task in plan:
        progress.hear(Began(task))
        clock.now += 1
        progress.hear(Ended(task))
    assert [int(at) for at in written] == [1000, 1021, 1042]


def test_of_tasks_at_once_each_is_credited_with_its_own_steps(tmp_path: Path) -> None:
    """Three epochs and one: the shorter task, begun last, is not given the steps of the longer one."""
    taken: Counter[str] = Counter()

    class Tally(Reporter):
        def hear(self, event: Event) -> None:
            if isinstance(event, Advanced) and isinstance(event.what, Task):
                taken[event.what.part] += event.n

    session = Session(tmp_path, threads=1, at_once=2, reporter=Tally())
    session.train(**TINY | {"training_steps": ["3ep", "1ep"]}).run()
    assert taken == {"to 3ep": 69, "to 1ep": 23}


def test_while_a_plan_runs_others_see_how_far_it_is(
    stubs: Stubs, make_session: Callable[..., Session], tmp_path: Path
) -> None:
    from experiments.run.engines import engines, run_plan

    seen = []

    @engines.register("looks")
    def looks(plan: Any, session: Any) -> list[Any]:
        session.context.reporter.hear(Began(plan.tasks[0]))
        seen.extend(running_plans(tmp_path / "runs"))
        return []

    session = make_session(engine="looks", command=["lottery", "--lr=0.1"])
    run_plan(make_plan(stubs(a="", b="a"), session), session)
    [plan] = seen
    assert plan.text == "lottery: 0 of 2 tasks done, 1 running, 0 failed, 1 waiting, 0 steps/s"
    assert not (tmp_path / "runs" / "plans").exists()


def test_the_plan_of_a_process_that_is_gone_is_not_shown(tmp_path: Path) -> None:
    store = store_of_plan(tmp_path)
    store.write_json("plan.json", {})
    assert list(running_plans(tmp_path)) == []


def test_what_several_hear_all_hear(listener: Listener) -> None:
    other = Listener()
    several = Several(listener, Reporter())
    with several.also(other):
        several.say("both")
    several.say("one")
    assert (listener.said, other.said) == (["both", "one"], ["both"])
