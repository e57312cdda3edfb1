"""Criteria for k: at which step is a network to be pruned?

A plug-in adds one, chosen by its name in the place of a step (``--k=my_criterion``):

    @criteria.register("my_criterion")
    @dataclass(frozen=True, kw_only=True)
    class MyCriterion(Criterion):
        def find(self, question: Question) -> Answer: ...
"""

from stability.criteria import auto, early  # noqa: F401  they register themselves
from stability.criteria.along_trunk import AlongTrunk, Seen, Walk
from stability.criteria.criterion import Answer, Criterion, Question, criteria

__all__ = ["AlongTrunk", "Answer", "Criterion", "Question", "Seen", "Walk", "criteria"]
