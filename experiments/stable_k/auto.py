"""``--k=auto``."""

from dataclasses import dataclass

from experiments.stable_k.registry import Answer, Criterion, Question, criteria
from stability.auto import find_stable_k


@criteria.register("auto")
@dataclass(frozen=True, kw_only=True)
class Auto(Criterion):
    """The smallest k found stable to SGD noise by instability analyses."""

    def find(self, question: Question) -> Answer:
        """See ``stability.auto.find_stable_k``."""
        k, analyses = find_stable_k(question.at, question.complete, question.max_k, question.reporter)
        return Answer(k, analyses)
