"""What keywords may be, and what is said of those that do not fit: one line, before anything is computed."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adsynflow import Session, Step, UsageError


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(root=tmp_path / "runs", device="cpu")


@pytest.mark.parametrize("several", [[1, 2], (1, 2), range(1, 3), np.arange(1, 3), {1: "", 2: ""}.keys(), iter((1, 2))])
def test_anything_that_lists_values_is_a_list(session: Session, several: Any) -> None:
    assert [one.replicate for one in session.train(replicate=several)] == [1, 2]


def test_numbers_of_numpy_are_numbers(session: Session) -> None:
    assert session.train(lr=np.float64(0.1))[0].desc == session.train(lr=0.1)[0].desc
    assert [one.desc for one in session.train(lr=list(np.array([0.1, 0.2])))] == [
        one.desc for one in session.train(lr=[0.1, 0.2])
    ]


def test_a_flag_that_is_a_list_takes_a_list_of_lists_for_several(session: Session) -> None:
    def levels(value: Any) -> list[Any]:
        return [one.levels for one in session.lottery(levels=value)]  # type: ignore[attr-defined]

    assert levels(2) == [(2,)]
    assert levels([0, 1]) == levels(range(2)) == levels(np.arange(2)) == [(0, 1)]
    assert [one.levels for one in session.lottery(levels=[[1], range(2)], density=0.1)] == [(0, 1)]  # type: ignore[attr-defined]
    assert [one.levels for one in session.lottery(levels=[[1], [0, 2]], density=0.1)] == [(1,), (0, 2)]  # type: ignore[attr-defined]
    steps = session.train(milestone_steps=[[], ["80ep", 120]])
    assert [one.desc.training.milestone_steps for one in steps] == [(), (Step("80ep"), Step("120ep"))]  # type: ignore[attr-defined]


def test_levels_of_one_run_are_one_experiment(session: Session) -> None:
    """Else its rows would count twice where replicates are averaged."""
    [one] = session.lottery(levels=[[3], [0, 1], [1]])
    assert one.levels == (0, 1, 3)  # type: ignore[attr-defined]


def test_combinations_are_made_once_each(session: Session) -> None:
    grid = session.lottery(pruning_strategy=["snip", "grasp", "snip"], k=[1, "1ep", Step(2)], replicate=[1, 2])
    assert len(grid) == 2 * 2 * 2
    assert [one.label for one in grid[:3]] == [
        "snip, k=1ep, replicate 1", "snip, k=1ep, replicate 2", "snip, k=2ep, replicate 1",
    ]  # fmt: skip


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "near miss": ("lottery", {"pruning_stategy": "snip"}, "--pruning_stategy: unknown flag .did you mean"),
    "of another command": ("train", {"pruning_strategy": "snip"}, "--pruning_strategy is no flag of this command"),
    "of another strategy": (
        "lottery",
        {"pruning_strategy": "snip", "synflow_input": "ones"},
        "belongs to --pruning_st",
    ),
    "of the session": ("train", {"threads": 2}, r"--threads: belongs to the session: Session\(threads=...\)"),
    "text for a number": ("train", {"lr": "0.1"}, "--lr=0.1: expected a number"),
    "number for a name": ("train", {"model": 3}, "--model=3: expected a text"),
    "number for a strategy": ("lottery", {"pruning_strategy": 3}, "--pruning_strategy=3: expected a text"),
    "list in a list": ("train", {"lr": [0.1, [0.2]]}, "--lr=0.1,0.2: expected single values"),
    "nothing": ("train", {"replicate": []}, "--replicate=: a value is missing"),
    "several of what is in no key": ("stability", {"k": 0, "alphas": [3, 5]}, "--alphas=3,5: expected one value"),
    "no file": ("stability", {"k": 0, "checkpoint": Path("missing.pt")}, "missing.pt"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(session: Session, what: str) -> None:
    command, keywords, message = REFUSED[what]
    with pytest.raises(UsageError, match=message) as caught:
        getattr(session, command)(**keywords)
    assert "\n" not in str(caught.value)
    assert not session.context.root.exists()


def test_an_unknown_option_of_the_session_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown option 'thread' \(did you mean 'threads'"):
        Session(thread=2)


def itself() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"lr": itself()}, "--lr: lists of lists are nested too deeply"),
        ({"lr": 10**400}, "--lr=1000"),
        ({"lr": [0.1, 10**400]}, "--lr=1000"),
        ({"replicate": range(10**9)}, "--replicate: more than 10,000 values"),
        ({"replicate": itertools.count(1)}, "--replicate: more than 10,000 values"),
        ({"milestone_steps": range(10**9)}, "--milestone_steps: more than 10,000 values"),
        ({"lr": b"x"}, "--lr=b'x': expected a number"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_absurd_values_are_refused_at_once(flags: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError) as refused:
        Session("unused", quiet=True).train(dataset="digits", model="mnist_lenet_4", **flags)
    assert str(refused.value).startswith(complaint)


@pytest.mark.parametrize("branch", [None, 3, ["shuffle"], "shufle"])
def test_what_is_no_branch_is_refused(branch: Any) -> None:
    with pytest.raises(UsageError, match="nknown branch"):
        Session("unused", quiet=True).lottery_branch(branch, dataset="digits", model="mnist_lenet_4")
