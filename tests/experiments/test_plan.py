"""Plans: each task once, in an order in which one process could do them, and only what is left."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from experiments.run.plan import Plan, make_plan
from experiments.run.tasks import ChildTask, Task, TrunkTask
from experiments.session import Session
from foundations.reporting import Reporter
from foundations.steps import Step
from tests.experiments.conftest import TINY

Stubs = Callable[..., list[Task]]
STEPS = 23  # of an epoch


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "runs", reporter=Reporter())


@pytest.fixture
def plan(make_session: Callable[..., Session]) -> Callable[[Sequence[Task]], Plan]:
    return lambda tasks: make_plan(tasks, make_session())


def parts(tasks: Sequence[Task]) -> list[str]:
    return [task.part for task in tasks]


def trunks(plan: Plan) -> list[TrunkTask]:
    return [task for task in plan if isinstance(task, TrunkTask)]


def is_in_order(plan: Plan) -> bool:
    """Whether each task comes after all that it waits for, so that there is no cycle."""
    places = {task: place for place, task in enumerate(plan)}
    return all(places[before] < places[task] for task in plan for before in plan.before[task])


# Any tasks -----------------------------------------------------------------------------------------------------------


def test_a_task_that_several_need_is_there_once_and_first(stubs: Stubs, plan: Any) -> None:
    made = plan(stubs(top="left right", left="root", right="root", root=""))
    assert parts(list(made)) == ["root", "left", "right", "top"]
    assert is_in_order(made)
    assert {task.part: parts(made.before[task]) for task in made} == {
        "root": [], "left": ["root"], "right": ["root"], "top": ["left", "right"],
    }  # fmt: skip


def test_what_is_done_drops_out_with_what_only_it_needed(stubs: Stubs, plan: Any, tmp_path: Path) -> None:
    tasks = stubs(top="middle other", middle="low shared", low="", shared="", other="shared")
    (tmp_path / "middle.done").touch()
    made = plan(tasks[:1])
    assert parts(list(made)) == ["shared", "other", "top"]  # not low
    assert parts(made.done) == ["middle"]
    assert parts(made.before[tasks[0]]) == ["other"]


def test_when_all_is_done_there_is_nothing_to_do(stubs: Stubs, plan: Any, tmp_path: Path) -> None:
    tasks = stubs(a="", b="a")
    (tmp_path / "b.done").touch()
    made = plan(tasks[1:])
    assert (len(made), parts(made.done)) == (0, ["b"])


def test_what_stands_on_a_task(stubs: Stubs, plan: Any) -> None:
    tasks = stubs(a="", b="a", c="b", d="", e="c d")
    made = plan(tasks)
    assert parts(made.standing_on(tasks[0])) == ["b", "c", "e"]
    assert parts(made.standing_on(tasks[3])) == ["e"]
    assert made.standing_on(tasks[4]) == []


def test_a_plan_may_be_a_thousand_tasks_deep(stubs: Stubs, plan: Any) -> None:
    tasks = stubs(bottom="", **{f"t{n}": f"t{n - 1}" if n else "bottom" for n in range(1200)})
    made = plan(tasks[-1:])
    assert list(made) == tasks
    assert made.standing_on(tasks[0]) == tasks[1:]


# Experiments ---------------------------------------------------------------------------------------------------------


def test_experiments_share_the_tasks_of_their_trunk(session: Session) -> None:
    grid = session.lottery(**TINY, k=1, pruning_strategy=["adsynflow", "magnitude", "random"], levels=[0, 1])
    plan = grid.plan()
    assert parts(trunks(plan)) == ["to 1ep", "to 2ep"]
    assert len(set(plan)) == len(plan) == 2 + 3 * 4
    assert is_in_order(plan)
    owners = grid.owners()
    assert [owners[task] for task in trunks(plan)] == [3, 3]
    assert set(owners.values()) == {1, 3}


def test_trunk_tasks_wait_for_each_other_in_the_order_of_k_whichever_experiment_has_them(session: Session) -> None:
    late, early = session.lottery(**TINY, k=["1ep", "5it"])
    plan = make_plan([*session.train(**TINY)[0].tasks(), *late.tasks(), *early.tasks()], session)
    chain = trunks(plan)
    assert parts(chain) == ["to 5it", "to 1ep", "to 2ep"]
    assert [plan.before[task] for task in chain] == [(), (chain[0],), (chain[1],)]
    assert is_in_order(plan)


def test_replicates_have_trunks_of_their_own(session: Session) -> None:
    plan = session.train(**TINY, replicate=[1, 2]).plan()
    assert [plan.before[task] for task in plan] == [(), ()]


def test_no_plan_of_an_experiment_has_a_cycle(session: Session) -> None:
    every = [
        *session.lottery(**TINY, k=["5it", "1ep", "2ep"], pruning_strategy=["sparse_global", "synflow"], levels=[0, 2]),
        *session.stability(**TINY, k=["0ep", "2ep"], pruning_strategy=["none", "sparse_global", "adsynflow"]),
        *session.lottery_branch("rewind", **TINY, k=1, start_step=["0ep", "30it"], levels=[0, 1, 2]),
    ]
    plan = make_plan([task for one in every for task in one.tasks()], session)
    assert is_in_order(plan)
    assert parts(trunks(plan)) == ["to 0ep", "to 5it", "to 1ep", "to 30it", "to 2ep"]


def test_steps_are_counted_from_where_the_task_before_has_ended(session: Session) -> None:
    plan = session.lottery(**TINY, k="5it", levels=[0, 1]).plan()
    steps = {task.part: count for task, count in plan.steps(session).items()}
    assert steps == {
        "to 5it": 5, "to 2ep": 2 * STEPS - 5, "mask of level 0": 0, "level 0": 0, "mask of level 1": 0,
        "level 1": 2 * STEPS - 5,
    }  # fmt: skip


def test_children_take_the_steps_from_k_to_the_end(session: Session) -> None:
    plan = session.stability(**TINY, k=1, children=3).plan()
    steps = plan.steps(session)
    assert [steps[task] for task in plan if isinstance(task, ChildTask)] == [STEPS] * 3
    assert sum(steps.values()) == (2 + 3) * STEPS


def test_of_a_trunk_that_is_saved_only_the_rest_counts(root: Path) -> None:
    session = Session(root, reporter=Reporter())
    plan = session.train(**{**TINY, "training_steps": "2ep"}).plan()
    assert (len(plan), parts(plan.done)) == (0, ["to 2ep"])
    to_30 = session.train(**TINY, to="30it").plan()
    assert [to_30.steps(session)[task] for task in to_30] == [7]  # after the one saved at 1ep


def test_the_finished_run_leaves_nothing(root: Path) -> None:
    session = Session(root, reporter=Reporter())
    grid = session.lottery(**TINY, k=Step("1ep"))
    assert grid.done
    assert len(grid.plan()) == 0
    assert parts(grid.plan().done) == ["level 1"]
