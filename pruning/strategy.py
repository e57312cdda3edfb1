"""What a pruning method is: a score for every weight."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from foundations.hparams import Hparams
from foundations.registry import Registry
from pruning.batches import Batches
from pruning.hparams import PruningHparams

S = TypeVar("S", bound="type[Strategy]")


@dataclass(frozen=True, kw_only=True)
class Strategy(Hparams, ABC):
    """A pruning method. Its fields are its hyperparameters; it differs from the others in :meth:`score`
    alone.

    How often scores are computed, how many weights are pruned and from where is decided in
    :func:`pruning.prune.prune`, for all methods alike.
    """

    name: ClassVar[str] = "unregistered"
    """Set by the registration."""

    mode: ClassVar[Literal["eval", "train"]] = "eval"
    """The mode of the model that ``score`` gets."""

    dtype: ClassVar[torch.dtype | None] = None
    """The type of the parameters and images that ``score`` gets; None for the model's own."""

    score_at: ClassVar[Literal["k", "end"]] = "k"
    """Whether the weights of step k are scored, or those at the end of training."""

    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({"k": "0ep"})
    """Defaults of pruning hyperparameters, and of the step ``k`` at which the subnetwork starts. A ``k`` of
    None is the recipe's pre-training step: the step at which the full network is to be stable (30 epochs in
    the thesis)."""

    spoils_values_only: ClassVar[bool] = False
    """Whether ``score`` changes at most the values of parameters and buffers, in place: no modules, hooks,
    modes or ``.grad``. Then one copy of the model, refreshed, serves all iterations, which is several times
    faster."""

    @abstractmethod
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        """How much each weight matters: the highest scores are kept.

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

    @classmethod
    def pruning_defaults(cls) -> dict[str, Any]:
        """The strategy's own defaults of the fields of ``PruningHparams``."""
        return {"score_at": cls.score_at} | {key: value for key, value in cls.defaults.items() if key != "k"}


class StrategyRegistry(Registry[type[Strategy]]):
    """A registry that gives every strategy its name and refuses those whose flags could not work."""

    def register(self, name: str) -> Callable[[S], S]:
        """Decorator: enters the strategy under ``name``, which becomes its class variable ``name``."""
        enter = super().register(name)

        def checked(strategy: S) -> S:
            refuse_forgotten_dataclass(name, strategy)
            refuse_taken_fields(name, strategy, (field.name for field in fields(PruningHparams)))
            enter(strategy)
            strategy.name = name
            return strategy

        return checked


def refuse_forgotten_dataclass(name: str, strategy: type[Strategy]) -> None:
    """Raises ``UsageError`` if something is meant to be a field of ``strategy`` and is none."""
    known = {field.name for field in fields(strategy)}
    hints = get_type_hints(strategy)
    for annotated in strategy.__annotations__:
        if annotated not in known and ClassVar not in (hints[annotated], get_origin(hints[annotated])):
            raise UsageError(
                f"Pruning strategy {name!r}: {annotated!r} is no field; decorate the class with "
                "@dataclass(frozen=True, kw_only=True) below @strategies.register"
            )


def refuse_taken_fields(name: str, strategy: type[Strategy], taken: Iterable[str]) -> None:
    """Raises ``UsageError`` if a field of ``strategy`` has a name in ``taken``: its flag would have two
    meanings."""
    if clash := sorted({field.name for field in fields(strategy)} & set(taken)):
        raise UsageError(f"Pruning strategy {name!r}: its field {clash[0]!r} is a flag of the framework; rename it")


strategies = StrategyRegistry("pruning strategy", flag="pruning_strategy")
