"""Criteria for k: at which step is a network to be pruned?

A plug-in adds one, chosen by its name in the place of a step (``--k=my_criterion``):

    @criteria.register("my_criterion")
    def my_criterion(question: Question) -> Answer: ...
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foundations.registry import Registry
from foundations.reporting import Reporter
from foundations.steps import Step
from stability import StabilityRunner
from stability.auto import find_stable_k


@dataclass(frozen=True, eq=False)
class Question:
    """For which network a step is wanted.

    Args:
        at: the instability analysis of that network at a step. Its ``trunk`` is the dense training, its ``desc`` has
            strategy and density; nothing is computed yet.
        complete: trains and compares what an analysis lacks; its ``result()`` is there afterwards.
        max_k: the largest step that may be answered; None leaves it to the criterion.
        reporter: shows what the search will cost and what it finds.
    """

    at: Callable[[Step], StabilityRunner]
    complete: Callable[[StabilityRunner], None]
    max_k: Step | None
    reporter: Reporter


@dataclass(frozen=True, eq=False)
class Answer:
    """What a criterion found.

    Args:
        k: the step; None if there is none.
        analyses: the completed analyses that it rests on, by k.
    """

    k: Step | None
    analyses: Sequence[StabilityRunner] = ()


Criterion = Callable[[Question], Answer]
criteria: Registry[Criterion] = Registry("criterion for k", "k")


@criteria.register("auto")
def auto(question: Question) -> Answer:
    """The smallest k found stable to SGD noise by instability analyses; see ``stability.auto.find_stable_k``."""
    return Answer(*find_stable_k(question.at, question.complete, question.max_k, question.reporter))
