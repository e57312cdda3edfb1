"""What a criterion for k is: it says at which step a network is to be pruned."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from foundations.desc import key_of
from foundations.errors import UsageError
from foundations.methods import Method, MethodRegistry
from foundations.reporting import Reporter
from foundations.steps import Step
from stability import AnalysisAtK
from training.trunk import Trunk


@dataclass(frozen=True, eq=False)
class Question:
    """For which network a step is wanted.

    Args:
        at: the instability analysis of that network at a step. Its ``trunk`` is the dense training, its ``desc`` has
            strategy and density; nothing is computed yet.
        complete: trains and compares what an analysis lacks; its ``result()`` is there afterwards.
        follow: has a criterion of the class ``AlongTrunk`` look at the dense training; what it saw, as ``curve.json``
            has it.
        max_k: the largest step that may be answered; None leaves it to the criterion.
        reporter: shows what the search will cost and what it finds.
    """

    at: Callable[[Step], AnalysisAtK]
    complete: Callable[[AnalysisAtK], None]
    follow: "Callable[[Criterion], Mapping[str, Any]]"
    max_k: Step | None
    reporter: Reporter


@dataclass(frozen=True, eq=False)
class Answer:
    """What a criterion found.

    Args:
        k: the step; None if there is none.
        analyses: the completed analyses that it rests on, by k.
        trained_to: the step that the dense training had to reach for it; by default k.
        masks: the number of masks that were drawn for it, those of the analyses left out.
    """

    k: Step | None
    analyses: Sequence[AnalysisAtK] = ()
    trained_to: Step | None = None
    masks: int = 0

    @property
    def rests_on_something(self) -> bool:
        """Whether anything is to be written down: a step, or what it cost to find none."""
        return self.k is not None or self.trained_to is not None or bool(self.analyses)


@dataclass(frozen=True, kw_only=True)
class Criterion(Method, ABC):
    """A way to find k. Its fields are its flags; it differs from the others in :meth:`find` alone."""

    analyses: ClassVar[bool] = True
    """Whether it makes instability analyses, whose flags then apply, too."""

    def check(self, runner: AnalysisAtK, max_k: Step | None) -> None:
        """Raise ``UsageError`` if the criterion does not go with a network; nothing has been trained yet."""

    @abstractmethod
    def find(self, question: Question) -> Answer:
        """Return the step at which the network is to be pruned."""

    @property
    def key(self) -> str:
        """The directory of what it has found, within that of the network: ``<name>_<hash of its fields>``."""
        return key_of(self.name, self)


C = TypeVar("C", bound="type[Criterion]")


class CriterionRegistry(MethodRegistry[Criterion]):
    """The criteria by name, none of which may read as a step."""

    def register(self, name: str) -> Callable[[C], C]:  # type: ignore[override]  # of criteria alone
        """Register a criterion; raise ``UsageError`` if its name reads as a step, or it is not a ``Criterion``."""
        enter = super().register(name)

        def checked(criterion: C) -> C:
            if not (isinstance(criterion, type) and issubclass(criterion, Criterion)):
                raise UsageError(
                    f"The {self.what} {name!r} is not a class derived from Criterion; see "
                    "docs/extending.md"
                )
            if is_step(name):
                raise UsageError(f"The {self.what} {name!r} reads as a step; choose another name")
            return enter(criterion)

        return checked


def last_iteration(trunk: Trunk, max_k: Step | None, otherwise: int) -> int:
    """Return that of ``max_k``, by default ``otherwise``; ``UsageError`` if it is beyond the end of training."""
    limit = otherwise if max_k is None else trunk.iteration(max_k)
    if limit > trunk.end:
        raise UsageError(f"--max_k={Step(max_k or 0).short}: beyond the end of training")
    return limit


def is_step(text: str) -> bool:
    try:
        return bool(Step(text))
    except UsageError:
        return False


criteria = CriterionRegistry("criterion for k", "k")
