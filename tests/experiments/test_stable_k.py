"""Criteria for k: ``auto``, and one that a plug-in brings."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import main
from experiments.session import Session
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from tests.experiments.conftest import TINY

FLAGS = ("--dataset=digits", "--model=mnist_lenet_4", "--training_steps=2ep", "--threads=1")

CRITERION = """
from dataclasses import dataclass

from stability.criteria import Answer, Criterion, Question, criteria
from foundations.steps import Step

@criteria.register("my_criterion")
@dataclass(frozen=True, kw_only=True)
class MyCriterion(Criterion):
    def find(self, question: Question) -> Answer:
        k = Step("5it")
        if question.max_k is not None and question.at(k).trunk.iteration(question.max_k) < 5:
            question.reporter.warn("5it is too late")
            return Answer(None)
        return Answer(k)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "own_criterion.py").write_text(CRITERION)
    yield f"--plugin={tmp_path / 'own_criterion.py'}"
    sys.modules.pop("adsynflow_plugin_own_criterion", None)


def test_a_criterion_of_a_plugin_is_chosen_in_the_place_of_a_step(plugin: str, tmp_path: Path, capsys: Any) -> None:
    root = f"--root={tmp_path / 'runs'}"
    assert main(["lottery", *FLAGS, plugin, "--k=my_criterion", root]) == 0
    found = capsys.readouterr().out
    assert main(["lottery", *FLAGS, "--k=5it", root]) == 0
    assert capsys.readouterr().out == found
    assert found.splitlines()[-1].split()[:3] == ["adsynflow", "5it", "1"]


def test_without_an_answer_the_exit_code_is_1(plugin: str, tmp_path: Path, capsys: Any) -> None:
    flags = [*FLAGS, plugin, "--k=my_criterion", "--max_k=0", f"--root={tmp_path / 'runs'}"]
    assert main(["lottery", *flags]) == 1
    said = ["5it is too late", "Nothing was pruned: no k was found by my_criterion."]
    assert capsys.readouterr().err.splitlines() == said
    assert main(["stability", *flags]) == 1
    assert not (tmp_path / "runs").exists()


def test_what_else_was_asked_for_is_done_all_the_same(plugin: str, root: Path, capsys: Any) -> None:
    assert main(["lottery", *FLAGS, plugin, "--k=my_criterion,1", "--max_k=0", f"--root={root}"]) == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == "Not everything was pruned: no k was found by my_criterion."
    assert printed.out.splitlines()[-1].split()[:3] == ["adsynflow", "1ep", "1"]


def test_an_unknown_criterion_is_no_step(capsys: Any) -> None:
    assert main(["lottery", *FLAGS, "--k=my_criterion"]) == 2
    assert "--k=my_criterion: 'my_criterion' is not a step" in capsys.readouterr().err


def test_auto_is_the_smallest_k_that_analyses_find_stable(root: Path) -> None:
    """Whatever the verdicts are, the search answers as a curve of all k does."""
    settings: dict[str, Any] = {**TINY, "alphas": 2, "threshold": 0.05, "lr": 0.2}
    session = Session(root, threads=1, reporter=Reporter())
    curve = session.stability(**settings, k=["0ep", "1ep"]).run()
    stable = [one.k for one in curve if one.runner.result().stable]  # type: ignore[attr-defined]
    [search] = session.stability(**settings, k="auto").run().searches
    assert search.answer is not None
    if stable:
        assert search.answer.k is not None
        assert Step(search.answer.k).short == min(stable, key=lambda k: k.order).short
    else:
        assert search.answer.k is None
    assert {one.runner.here.path for one in search.analyses} <= {one.runner.here.path for one in curve}  # type: ignore[attr-defined]


@pytest.mark.parametrize(("threshold", "found"), [(0.99, True), (1e-9, False)])
def test_lottery_prunes_where_the_criterion_says(threshold: float, found: bool, root: Path) -> None:
    session = Session(root, threads=1, reporter=Reporter())
    grid = session.lottery(**TINY, k="auto", max_k=0, threshold=threshold, alphas=2).run()
    [search] = grid.searches
    assert search.found is found
    assert [one.desc.k.short for one in grid] == (["0ep"] if found else [])  # type: ignore[attr-defined]
    assert len(search.analyses) == 1


def test_before_it_has_run_there_is_no_directory_to_show(tmp_path: Path) -> None:
    grid = Session(tmp_path, reporter=Reporter()).lottery(**TINY, k="auto")
    with pytest.raises(UsageError, match="--k=auto: the run's directory depends on the k that is found"):
        _ = grid.experiments


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("lottery", {"levels": 0}, "--k=auto: --levels=0 prunes nothing"),
        ("stability", {"max_k": "3ep"}, "--max_k=3ep: beyond the end of training"),
        ("lottery_branch", {}, "--k=auto: find the step by stability or lottery, then give it here"),
    ],
)
def test_what_does_not_go_with_a_criterion_is_refused(command: str, flags: dict[str, Any], message: str) -> None:
    branch = ["shuffle"] if command == "lottery_branch" else []
    with pytest.raises(UsageError, match=message):
        getattr(Session("nowhere", reporter=Reporter()), command)(*branch, **{**TINY, "k": "auto", **flags})
