"""An experiment whose k a criterion is to find first."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from experiments.defaults import Values
from experiments.engines import Failed, Failure
from experiments.experiment import Experiment
from experiments.stable_k import Answer, Question, criteria
from experiments.workspace import Workspace
from foundations.errors import UsageError
from foundations.steps import Step
from stability import StabilityRunner


class Analysis(Experiment):
    """An experiment that is the instability analysis of a network at one k."""

    @property
    @abstractmethod
    def runner(self) -> StabilityRunner:
        """What trains and compares its children."""


@dataclass(kw_only=True, eq=False, repr=False)
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

    session: Workspace
    criterion: str
    analysis: Callable[[Step], Analysis]
    experiment: Callable[[Step], Experiment] | None
    identity: Hashable
    max_k: Step | None
    answer: Answer | None = field(default=None, init=False)

    def __repr__(self) -> str:
        answer = "still to be run" if self.answer is None else self.answer.k.short if self.answer.k else "none found"
        return f"<Search: k={self.criterion}, {answer}>"

    def run(self) -> list[Failure]:
        """Computes what the criterion asks for and keeps its answer, once; the tasks that failed on the way."""
        if self.answer is not None:
            return []
        question = Question(self._at, self._complete, self.max_k, self.session.context.reporter)
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
    def analyses(self) -> Sequence[Analysis]:
        """The analyses that the answer rests on."""
        return () if self.answer is None else [self.analysis(runner.k) for runner in self.answer.analyses]

    @property
    def experiments(self) -> Sequence[Experiment]:
        """What has come of it: the experiment at k, or the analyses; ``UsageError`` before it is run."""
        if self.answer is None:
            raise UsageError(f"--k={self.criterion}: the run's directory depends on the k that is found; give that k")
        if self.experiment is None:
            return self.analyses
        return [] if self.answer.k is None else [self.experiment(self.answer.k)]

    def _at(self, k: Step) -> StabilityRunner:
        return self.analysis(k).runner

    def _complete(self, runner: StabilityRunner) -> None:
        analysis = self.analysis(runner.k)
        analysis.check()
        if analysis.done:
            self.session.context.reporter.say(analysis.done_before())
        elif failures := analysis.run():
            raise Failed(failures)


class Searchable(Experiment):
    """An experiment whose k may be left to a criterion."""

    @classmethod
    @abstractmethod
    def search(cls, session: Workspace, values: Values) -> Search:
        """What finds the k that ``values`` leave to a criterion, and the experiment at it."""
