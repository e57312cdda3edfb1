"""Criteria for k: at which step is a network to be pruned?

A plug-in adds one, chosen by its name in place of a step (``--k=my_criterion``):

    @criteria.register("my_criterion")
    def my_criterion(question: Question) -> Answer: ...
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foundations.registry import Registry
from foundations.reporting import Reporter
from foundations.steps import Step
from stability import StabilityRunner
from stability.auto import find_stable_k

if TYPE_CHECKING:
    from experiments.stability import Stability


@dataclass(frozen=True, eq=False)
class Question:
    """For which network a step is wanted.

    Args:
        at: the instability analysis of that network at a step; its ``trunk`` is the dense training, its ``desc`` has
            strategy and density.
        complete: trains and compares what an analysis lacks.
        max_k: the largest step that may be answered; None leaves it to the criterion.
        reporter: hears what the search will cost and what it finds.
    """

    at: "Callable[[Step], Stability]"
    complete: "Callable[[Stability], None]"
    max_k: Step | None
    reporter: Reporter


@dataclass(frozen=True, eq=False)
class Answer:
    """What a criterion found.

    Args:
        k: the step; None if there is none.
        analyses: the instability analyses that it rests on, by k.
    """

    k: Step | None
    analyses: "Sequence[Stability]" = ()


Criterion = Callable[[Question], Answer]
criteria: Registry[Criterion] = Registry("criterion for k", "k")


@criteria.register("auto")
def auto(question: Question) -> Answer:
    """The smallest k found stable to SGD noise by instability analyses; see ``stability.auto.find_stable_k``."""
    analyses: dict[Step, Stability] = {}

    def runner_at(k: Step) -> StabilityRunner:
        analysis = question.at(k)
        return analyses.setdefault(analysis.runner.k, analysis).runner

    found, runners = find_stable_k(
        runner_at, lambda runner: question.complete(analyses[runner.k]), question.max_k, question.reporter
    )
    return Answer(found, [analyses[runner.k] for runner in runners])
