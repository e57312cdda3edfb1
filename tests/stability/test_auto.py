"""The search for the smallest stable k on real analyses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from foundations.errors import UsageError
from foundations.steps import Step
from stability import AnalysisAtK
from stability.criteria.auto import find_stable_k

MakeRunner = Callable[..., AnalysisAtK]


@pytest.fixture
def search(make_runner: MakeRunner, listener):
    """``search(root, max_k, stable_from)``, where verdicts are made up and all else is real."""

    def run(root: Path, max_k: str | None, stable_from: int, interrupt_after: int | None = None):
        analysed: list[str] = []

        def analyse(runner: AnalysisAtK) -> None:
            if len(analysed) == interrupt_after:
                raise KeyboardInterrupt
            if not runner.done:
                analysed.append(runner.k.short)
            runner.compare()
            iteration = runner.trunk.iteration(runner.k)
            made_up = replace(runner.result(), stable=iteration >= 5 * stable_from, learned=True)
            runner.result = lambda: made_up  # type: ignore[method-assign]

        found, runners = find_stable_k(
            lambda k: make_runner(root, k=k), analyse, Step(max_k) if max_k else None, listener
        )
        return found, [runner.k.short for runner in runners], analysed

    return run


def test_it_stops_at_half_the_training(shared_root: Path, search) -> None:
    found, ks, _ = search(shared_root, None, stable_from=4)
    assert found is None
    assert ks == ["0ep", "1ep", "2ep"]


def test_told_otherwise_it_goes_further(shared_root: Path, search) -> None:
    assert search(shared_root, "4ep", stable_from=3)[:2] == (Step("3ep"), ["0ep", "1ep", "2ep", "3ep", "4ep"])
    with pytest.raises(UsageError, match="--max_k=5ep"):
        search(shared_root, "5ep", stable_from=3)


def test_it_says_what_it_can_cost_and_goes_on_where_it_was(tmp_path: Path, search, listener) -> None:
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, "4ep", stable_from=3, interrupt_after=2)
    # 0, 1, 2, 4, 3 epochs: two children for 20, 15, 10, 0 and 5 steps each.
    assert "at most 5 more analyses of 2 children, 101 optimizer steps beside the trunk's 20" in listener.said[0]
    found, _, analysed = search(tmp_path, "4ep", stable_from=3)
    assert found == Step("3ep")
    assert analysed == ["2ep", "4ep", "3ep"]
    assert any("at most 3 more analyses" in line for line in listener.said)
