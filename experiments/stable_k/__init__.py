"""Criteria for k: at which step is a network to be pruned?

A plug-in adds one, chosen by its name in the place of a step (``--k=my_criterion``):

    @criteria.register("my_criterion")
    @dataclass(frozen=True, kw_only=True)
    class MyCriterion(Criterion):
        def find(self, question: Question) -> Answer: ...
"""

from experiments.stable_k import auto, early_bird, early_crop  # noqa: F401  they register themselves
from experiments.stable_k.along_trunk import AlongTrunk, Seen, Walk
from experiments.stable_k.registry import Answer, Criterion, Question, criteria

__all__ = ["AlongTrunk", "Answer", "Criterion", "Question", "Seen", "Walk", "criteria"]
