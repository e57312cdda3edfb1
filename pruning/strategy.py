"""What a pruning method is: a score for every weight."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from foundations.errors import UsageError, near_misses
from foundations.methods import Method, MethodRegistry
from foundations.steps import Step
from pruning.batches import Batches
from pruning.hparams import PruningHparams

PRUNED_ONCE = 0.9
"""The fraction pruned by default by every strategy that prunes once, so that a list of them has one density."""


@dataclass(frozen=True, kw_only=True)
class Strategy(Method, ABC):
    """A pruning method. Its fields are its hyperparameters; it differs from the others in :meth:`score`
    alone.

    How often scores are computed, how many weights are pruned and from where is decided in
    :func:`pruning.prune.prune`, for all methods alike.
    """

    mode: ClassVar[Literal["eval", "train"]] = "eval"
    """The mode of the model that ``score`` gets, unless a field of the strategy decides (see :attr:`scored_in`)."""

    dtype: ClassVar[torch.dtype | None] = None
    """The type of the parameters and images that ``score`` gets; None for the model's own."""

    score_at: ClassVar[Literal["k", "end"]] = "k"
    """Whether the weights of step k are scored, or those at the end of training."""

    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({"k": "0ep"})
    """Defaults of pruning hyperparameters, and of the step ``k`` at which the subnetwork starts. A ``k`` of
    None is the recipe's pre-training step: the step at which the full network is to be stable (30 epochs in
    the thesis)."""

    published: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Values of flags, this strategy's or others, by which the publication or its authors' code differs from our
    defaults; taken by ``--preset=published``."""

    revives: ClassVar[bool] = False
    """Whether a weight that an iteration has pruned may come back in a later one of the same pruning. Such a strategy
    scores in :meth:`score_all`."""

    spoils_values_only: ClassVar[bool] = False
    """Whether ``score`` changes at most the values of parameters and buffers, in place: no modules, hooks,
    modes or ``.grad``. Then one copy of the model, refreshed, serves all iterations, which is several times
    faster."""

    @abstractmethod
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """Return how much each weight matters: the highest scores are kept.

        Args:
            model: a copy that may be spoiled, in the mode and dtype that the class declares, already masked,
                with gradients required of all parameters.
            batches: training data on the model's device, images in its dtype.
            generator: on the CPU, for all that is random. It is in the same state in every iteration of one
                pruning, so what is drawn from it (an image, an order of the weights) stays the same.

        Returns:
            A finite tensor for every entry of ``prunable(model)``, of the same name and shape. Pruned weights
            are scored too; whatever they get, they stay pruned.
        """

    def score_all(
        self, model: nn.Module, weights: Mapping[str, Tensor], batches: Batches, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Score like :meth:`score`, for strategies that revive: ``weights`` are those before the model was masked."""
        return self.score(model, batches, generator)

    def remarks(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> list[str]:
        """Return what makes the scores of this network doubtful, in words; called once, before the first score.

        Arguments are as for :meth:`score`.

        Raises:
            UsageError: they would mean nothing.
        """
        return []

    @property
    def scored_in(self) -> str:
        return self.mode

    @classmethod
    def pruning_defaults(cls) -> dict[str, Any]:
        """Return the defaults of ``PruningHparams``: those declared, and the density of all that prune once."""
        once = {"pruning_fraction": PRUNED_ONCE} if cls.score_at == "k" else {}
        own = {key: value for key, value in cls.defaults.items() if key != "k" and value is not None}
        return {"score_at": cls.score_at, **once, **own}


def say(names: Iterable[str], most: int = 4) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


S = TypeVar("S", bound="type[Strategy]")


class StrategyRegistry(MethodRegistry[Strategy]):
    """The strategies by name; no field of theirs may be called like a pruning hyperparameter."""

    def __init__(self, what: str, flag: str = "", known_as: Mapping[str, str] | None = None) -> None:
        super().__init__(what, flag, known_as)
        self.reserve([field.name for field in fields(PruningHparams)])

    def register(self, name: str) -> Callable[[S], S]:  # type: ignore[override]  # of strategies alone
        """Decorator: as that of any method; ``UsageError`` also if the class's ``defaults`` are none."""
        enter = super().register(name)

        def checked(strategy: S) -> S:
            try:
                check_defaults(strategy)
            except UsageError as error:
                raise UsageError(f"{self.what.capitalize()} {name!r}: {error}") from error
            return enter(strategy)

        return checked


def check_defaults(strategy: type[Strategy]) -> None:
    """Raise ``UsageError`` if ``defaults`` has a key or a value that no pruning hyperparameter and no k has."""
    known = ["k", *(field.name for field in fields(PruningHparams))]
    for key in strategy.defaults:
        if key not in known:
            meant = near_misses(key, known)
            raise UsageError(f"its defaults have the unknown key {key!r}{meant}; valid: {', '.join(known)}")
    try:
        PruningHparams(**strategy.pruning_defaults())
        check_k(strategy.defaults.get("k"))
    except UsageError as error:
        raise UsageError(f"its defaults do not fit: {error}") from error


def check_k(k: Any) -> None:
    """Raise ``UsageError`` unless ``k`` is a step, or None for the recipe's pre-training step."""
    if k is None:
        return
    if isinstance(k, bool) or not isinstance(k, (str, int)):
        raise UsageError(f"--k={k}: expected a step such as 30ep or 2000it, or None")
    Step(k)


strategies = StrategyRegistry("pruning strategy", flag="pruning_strategy", known_as={
    "imp": "sparse_global, level by level: --levels=10", "lth": "sparse_global, level by level: --levels=10",
    "lrr": "sparse_global with --retrain=rewind_lr", "finetune": "sparse_global with --retrain=finetune",
    "global_magnitude": "magnitude at k, or sparse_global at the end", "erk": "random_erk", "dense": "none",
})  # fmt: skip
