"""A plug-in that has changed since a run was computed: its old numbers are not passed off as the new method's."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundations import environment
from foundations.store import Store
from lottery.branch import branches
from pruning import strategies

Command = Callable[..., Any]

METHOD = """
from dataclasses import dataclass
from my_helper import factor
from pruning import prunable, strategies
from pruning.strategy import Strategy

@strategies.register("my_method")
@dataclass(frozen=True, kw_only=True)
class MyMethod(Strategy):
    "Keep large weights."

    def score(self, model, batches, generator):
        return {name: factor * weight.detach().abs() for name, weight in prunable(model).items()}
"""
BRANCH = """
from dataclasses import dataclass
from lottery.branch import Branch, branches

@branches.register("as_it_is")
@dataclass(frozen=True, kw_only=True)
class AsItIs(Branch):
    "Changes nothing."

    def start(self, ticket):
        return ticket
"""
FILES = {"my_method.py": METHOD, "my_helper.py": "factor = 1\n", "my_branch.py": BRANCH}


@pytest.fixture
def again(
    command: Command, place: Any, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """``again("lottery", ..., changes)`` runs a command as a new process would, with ``{file: text}`` changed."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith(("adsynflow_plugin_my_", "my_helper"))]:
            del sys.modules[name]

    def run(*argv: str, **changes: str) -> Any:
        forget()
        for name, text in changes.items():
            (tmp_path / f"{name}.py").write_text(text)
        plugins = [f"--plugin={tmp_path / name}" for name in ("my_method.py", "my_branch.py")]
        k = () if argv[0] == "train" else ("--k=0",)
        with strategies.temporarily(), branches.temporarily():
            return command(*argv, *small, *k, *plugins, *place.flags)

    yield run
    forget()


MINE = ("lottery", "--pruning_strategy=my_method")


def test_an_edited_score_is_refused_and_prints_no_number(again: Command, place: Any) -> None:
    assert again(*MINE).code == 0
    before = place.files()
    outcome = again(*MINE, my_method=METHOD.replace(".abs()", ".square()"))
    assert outcome.code == 2
    assert outcome.out == ""
    run = place.one("lottery_*/replicate_1")
    first, second = outcome.err.strip().splitlines()[-2:]
    assert f"{run} was computed with another version of the plug-in my_method.py (its sha256 began with " in first
    assert second == "--recompute puts that directory aside and recomputes; or choose another --root."
    assert place.files() == before
    assert again(*MINE, my_method=METHOD).code == 0


def test_an_edited_comment_is_not(again: Command) -> None:
    assert again(*MINE).code == 0
    outcome = again(*MINE, my_method=METHOD.replace("    def score", "    # Magnitudes.\n    def score"))
    assert outcome.code == 0
    assert "All done before" in outcome.err


def test_a_helper_beside_it_counts(again: Command) -> None:
    assert again(*MINE).code == 0
    outcome = again(*MINE, my_helper="factor = -1\n")
    assert outcome.code == 2
    assert "another version of the plug-in my_method.py" in outcome.err


def test_a_method_that_has_moved_and_changed_is_refused_too(again: Command, tmp_path: Path) -> None:
    assert again(*MINE).code == 0
    outcome = again(*MINE, my_method="import my_helper_two\n", my_helper_two=METHOD.replace(".abs()", ".square()"))
    assert outcome.code == 2
    assert "was computed with the plug-in my_method, not with my_helper_two.py" in outcome.err


def test_runs_that_do_not_use_it_are_not_affected(again: Command, place: Any) -> None:
    others = (("train",), ("lottery", "--pruning_strategy=random"))
    assert again(*MINE).code == 0
    for argv in others:
        assert again(*argv).code == 0
    changed = METHOD.replace(".abs()", ".square()")
    for argv in others:
        assert "one before: " in again(*argv, my_method=changed).err
    recorded = [json.loads(path.read_text())["plugins"] for path in place.root.rglob("environment.json")]
    assert sorted(map(list, recorded)) == [[], [], ["my_method"]]  # the trunk's, random's and its own


def test_a_level_that_is_not_there_yet_is_not_added_to_those_of_another_version(again: Command) -> None:
    assert again(*MINE, "--levels=1").code == 0
    assert again(*MINE, "--levels=2", my_helper="factor = -1\n").code == 2


def test_an_edited_branch_is_refused_but_not_its_level(again: Command, place: Any) -> None:
    branch = ("lottery_branch", "as_it_is", "--pruning_strategy=magnitude")
    assert again(*branch).code == 0
    changed = BRANCH.replace("return ticket", "return [ticket][0]")
    outcome = again(*branch, my_branch=changed)
    assert outcome.code == 2
    here = place.one("lottery_*/replicate_1/level_1/as_it_is_*")
    assert f"{here} was computed with another version of the plug-in my_branch.py" in outcome.err
    assert again("lottery", "--pruning_strategy=magnitude", my_branch=changed).code == 0


def test_a_run_from_before_plugins_were_recorded_says_nothing(again: Command, place: Any) -> None:
    assert again(*MINE).code == 0
    store = Store(place.one("lottery_*/replicate_1"))
    recorded = store.read_json("environment.json")
    del recorded["plugins"]
    store.write_json("environment.json", recorded)
    assert again(*MINE, my_helper="factor = -1\n").code == 0


def test_results_of_a_changed_checkout_are_used_and_it_is_said_once_for_each_directory(
    again: Command, place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("lottery", "--levels=0-1")
    monkeypatch.setattr(environment, "commit", lambda: "0123456789+aaaaaaaa")
    assert again(*flags).code == 0
    monkeypatch.setattr(environment, "commit", lambda: "0123456789+bbbbbbbb")
    outcome = again(*flags)
    assert outcome.code == 0
    said = [line for line in outcome.err.splitlines() if "was computed by commit 01234567+aaaaaaaa" in line]
    assert len(said) == 1
    assert "which is now 01234567+bbbbbbbb" in said[0]


def test_results_of_another_commit_without_changes_are_used_silently(
    again: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "commit", lambda: "0" * 40)
    assert again("train").code == 0
    monkeypatch.setattr(environment, "commit", lambda: "1" * 40)
    assert "was computed by" not in again("train").err
