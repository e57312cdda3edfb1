"""An experiment whose k a criterion is to find first."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments.engines import Failed, Failure
from experiments.stable_k import Answer, Question, criteria
from foundations.errors import UsageError
from foundations.steps import Step

if TYPE_CHECKING:
    from experiments.experiment import Experiment
    from experiments.session import Session
    from experiments.stability import Stability


@dataclass(kw_only=True, eq=False)
class Search:
    """The search for the step k of a network, and what is wanted at it.

    Args:
        session: where and how it is computed.
        criterion: its name.
        analysis: the instability analysis of the network at a step.
        experiment: what is wanted at the k that is found; None if the analyses are.
        identity: equal for two searches that are the same.
        max_k: the largest step that may be found.
    """

    session: "Session"
    criterion: str
    analysis: "Callable[[Step], Stability]"
    experiment: "Callable[[Step], Experiment] | None"
    identity: Hashable
    max_k: Step | None
    answer: Answer | None = field(default=None, init=False)

    def run(self) -> list[Failure]:
        """Computes what the criterion asks for and keeps its answer, once; the tasks that failed on the way."""
        if self.answer is not None:
            return []
        question = Question(self.analysis, complete, self.max_k, self.session.context.reporter)
        try:
            self.answer = criteria.get(self.criterion)(question)
        except Failed as failed:
            self.answer = Answer(None)
            return failed.failures
        return []

    @property
    def found(self) -> bool:
        """Whether there is such a k."""
        return self.answer is not None and self.answer.k is not None

    @property
    def analyses(self) -> "Sequence[Stability]":
        """The analyses that the answer rests on."""
        return () if self.answer is None else self.answer.analyses

    @property
    def experiments(self) -> "list[Experiment]":
        """What has come of it: the experiment at k, or the analyses; ``UsageError`` before it is run."""
        if self.answer is None:
            raise UsageError(f"--k={self.criterion}: the run's directory depends on the k that is found; give that k")
        if self.experiment is None:
            return list(self.analyses)
        return [] if self.answer.k is None else [self.experiment(self.answer.k)]


def complete(analysis: "Stability") -> None:
    """Trains and compares what an analysis lacks."""
    if analysis.done:
        analysis.session.context.reporter.say(analysis.done_before())
    elif failures := analysis.run():
        raise Failed(failures)
