"""Strategies whose mask changes while the subnetwork is trained."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.steps import Step
from pruning.hparams import PruningHparams
from pruning.mask import Mask
from pruning.strategy import Strategy


@dataclass(frozen=True)
class Moment:
    """When a mask is updated, and what it is to come to.

    Args:
        progress: the share of the time in which masks change that is over: above 0, and 1 at the last update.
        density: what the level is to keep of the weights that pruning counts.
        pruning: how scores become a mask.
    """

    progress: float
    density: float
    pruning: PruningHparams


@dataclass(frozen=True, kw_only=True)
class ChangingMask(Strategy):
    """A strategy that differs from the others in :meth:`update`, which gives the mask to train on with.

    :meth:`score` decides the first mask, at step k. From then on the training stops at every update. Weights that an
    update takes away are set to zero and stay so; those that it gives back start from zero, and so does their
    optimizer's state.
    """

    update_every: Step = hp(Step("100it"))
    """Steps of training between two updates of the mask."""

    update_start: Step = hp(Step("0ep"))
    """Step up to which the first mask stays; never before k."""

    update_until: float = hp(0.75, within="(0, 1]")
    """Share of the training, counted from its beginning, after which the mask stays; the last update is there."""

    @abstractmethod
    def update(
        self,
        model: nn.Module,
        mask: Mask,
        gradients: Mapping[str, Tensor],
        generator: torch.Generator,
        moment: Moment,
    ) -> Mask:
        """The mask with which training goes on.

        Args:
            model: the network in training, masked; it is only looked at.
            mask: that of the layers that pruning may touch.
            gradients: dL/dw of all weights by parameter name, pruned ones too, on the batch of the next step.
            generator: on the CPU, for all that is random; another one at each update.
            moment: how far training has come.

        Returns:
            A mask of the same layers.
        """

    def first_density(self, density: float) -> float:
        """What the first mask keeps."""
        return density

    def updates(self, start: int, end: int, iterations_per_epoch: int) -> list[int]:
        """The iterations after which the mask is updated, in a training from ``start`` to ``end``.

        Raises:
            UsageError: there is none.
        """
        first = self.first_iteration(start, iterations_per_epoch)
        every, last = self.update_every.iteration(iterations_per_epoch), round(self.update_until * end)
        if every < 1:
            raise UsageError(f"--update_every={self.update_every.short}: expected at least one step")
        if last <= first:
            raise UsageError(f"--update_until={self.update_until}: ends before the first update of the mask")
        return [*range(first + every, last, every), last]

    def first_iteration(self, start: int, iterations_per_epoch: int) -> int:
        """The iteration from which on masks change, in a training that begins at ``start``."""
        return max(start, self.update_start.iteration(iterations_per_epoch))
