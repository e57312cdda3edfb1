"""Masks that change while the subnetwork trains: what such a strategy is, those that come with it, a control."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.steps import Step
from pruning.hparams import PruningHparams
from pruning.mask import Mask
from pruning.methods.magnitude import Magnitude
from pruning.methods.random import RandomERK
from pruning.prunable import prunable
from pruning.prune import find_groups, highest, shrink
from pruning.strategy import Strategy, strategies


@dataclass(frozen=True)
class UpdateProgress:
    """How far training has come when a mask is updated, and what the mask is to come to.

    Args:
        progress: the fraction of the time in which masks change that is over: above 0, and 1 at the last update.
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

    uses_gradients: ClassVar[bool] = True
    """Whether updates look at the gradients of all weights, which the cost of a training counts."""

    update_every: Step = hp(Step("100it"))
    """Steps of training between two updates of the mask."""

    update_start: Step = hp(Step("0ep"))
    """Step up to which the first mask stays; never before k."""

    update_until: float = hp(0.75, within="(0, 1]")
    """Share of the training, counted from its beginning, after which the mask stays; the last update is there."""

    @abstractmethod
    def update(
        self, model: nn.Module, mask: Mask, gradients: Mapping[str, Tensor], generator: torch.Generator,
        moment: UpdateProgress,
    ) -> Mask:  # fmt: skip
        """Return the mask with which training goes on, of the same layers.

        Args:
            model: the network in training, masked; it is only looked at.
            mask: that of the layers that pruning may touch.
            gradients: dL/dw of all weights by parameter name, pruned ones too, on the batch of the next step.
            generator: on the CPU, for all that is random; another one at each update.
            moment: how far training has come.
        """

    def first_density(self, density: float) -> float:
        """Return what the first mask keeps, of a level that is to keep ``density``."""
        return density

    def updates(self, start: int, end: int, iterations_per_epoch: int) -> list[int]:
        """Return the iterations after which the mask is updated, in a training from ``start`` to ``end``.

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
        """Return the iteration from which on masks change, in a training that begins at ``start``."""
        return max(start, self.update_start.iteration(iterations_per_epoch))


@strategies.register("static")
@dataclass(frozen=True, kw_only=True)
class Static(RandomERK):
    """Keeps the mask that SET and RigL start from: random, at Erdos-Renyi-kernel densities.

    Evci et al. 2020, "Rigging the Lottery", section 4.
    """


@strategies.register("set")
@dataclass(frozen=True, kw_only=True)
class SET(RandomERK, ChangingMask):
    """Drops the smallest weights of each layer again and again, and grows as many others at random.

    Mocanu et al. 2018, "Scalable training of artificial neural networks with adaptive sparse connectivity inspired by
    network science". Starts from a random mask of Erdos-Renyi-kernel densities; every layer keeps its own. The share
    that is dropped falls along a cosine to zero, as in Evci et al. 2020, equation 1. A weight that has just been
    dropped may grow again, and then goes on as if it had not been.
    """

    uses_gradients = False
    drop_fraction: float = hp(0.3, within="(0, 1]")
    """Share of a layer's weights that the first update would exchange."""

    def update(
        self, model: nn.Module, mask: Mask, gradients: Mapping[str, Tensor], generator: torch.Generator,
        moment: UpdateProgress,
    ) -> Mask:  # fmt: skip
        sizes, fraction = magnitudes(model, mask), self.exchanged_fraction(moment)
        return Mask({
            name: exchanged(sizes[name], kept, self.growth(gradients[name], generator), fraction)
            for name, kept in mask.items()
        })  # fmt: skip

    def exchanged_fraction(self, moment: UpdateProgress) -> float:
        return self.drop_fraction / 2 * (1 + math.cos(math.pi * moment.progress))

    def growth(self, gradient: Tensor, generator: torch.Generator) -> Tensor:
        """Return scores by which the weights of a layer grow: the highest do."""
        return torch.rand(gradient.shape, generator=generator).to(gradient.device)


def exchanged(size: Tensor, kept: Tensor, growth: Tensor, fraction: float) -> Tensor:
    """Return a layer's mask without its smallest weights, and with as many others, those of the highest growth.

    Args:
        size: magnitudes of the layer's weights.
        kept: its mask.
        growth: scores of the weights that are not kept.
        fraction: of the weights kept that go, rounded down to whole weights.
    """
    total = int(kept.count_nonzero())
    dropped = int(fraction * total)
    stays = highest(size.flatten(), kept.flatten(), total - dropped)
    grown = highest(growth.flatten(), ~stays, dropped)
    return (stays | grown).view(kept.shape)


@strategies.register("rigl")
@dataclass(frozen=True, kw_only=True)
class RigL(SET):
    """Drops the smallest weights of each layer again and again, and grows as many of the largest gradients.

    Evci et al. 2020, "Rigging the Lottery: Making All Tickets Winners", algorithm 1. All else is as in :class:`SET`.
    The gradients are those of the batch that is trained on next; the authors' code spends a batch on the update alone.
    """

    uses_gradients = True

    def growth(self, gradient: Tensor, generator: torch.Generator) -> Tensor:
        return gradient.abs()


@strategies.register("gmp")
@dataclass(frozen=True, kw_only=True)
class GMP(Magnitude, ChangingMask):
    """Prunes the smallest weights little by little while the network is trained.

    Zhu & Gupta 2017, "To prune, or not to prune", equation 1: the network starts dense, and after a share t of the time
    in which masks change its sparsity is s (1 - (1 - t)^3), s the one that it is to come to. What is pruned stays
    pruned.
    """

    uses_gradients = False

    def first_density(self, density: float) -> float:
        return 1.0

    def update(
        self, model: nn.Module, mask: Mask, gradients: Mapping[str, Tensor], generator: torch.Generator,
        moment: UpdateProgress,
    ) -> Mask:  # fmt: skip
        return pruned(model, mask, cubic_density(1.0, moment), moment.pruning)


def cubic_density(first: float, moment: UpdateProgress) -> float:
    """Return the density on the way from ``first`` to that of the level, along a cube (Zhu & Gupta 2017)."""
    return first - (first - moment.density) * (1 - (1 - moment.progress) ** 3)


def magnitudes(model: nn.Module, mask: Mask) -> dict[str, Tensor]:
    """Return |w| of the layers of a mask."""
    weights = prunable(model)
    return {name: weights[name].detach().abs() for name in mask}


def pruned(model: nn.Module, mask: Mask, density: float, pruning: PruningHparams) -> Mask:
    """Return the mask of the largest weights that ``mask`` keeps, by the scope of ``pruning``."""
    alive = dict(mask)
    shrink(magnitudes(model, mask), alive, find_groups(mask, density, pruning), pruning)
    return Mask(alive)


@strategies.register("granet")
@dataclass(frozen=True, kw_only=True)
class GraNet(RigL):
    """Prunes little by little, as gmp does, and exchanges weights within layers at each update, as rigl does.

    Liu et al. 2021, "Sparse Training via Boosting Pruning Plasticity with Neuroregeneration" (NeurIPS), algorithm 1;
    code: VITA-Group/GraNet, ``CIFAR/sparselearning/core.py``. The first mask is random, at Erdos-Renyi-kernel
    densities.
    """

    initial_density: float = hp(0.5, within="(0, 1]")
    """Share of the weights that the first mask keeps; 1: dense, the paper's dense-to-sparse training."""
    drop_fraction: float = hp(0.5, within="(0, 1]")
    """Share of a layer's weights that the first update would exchange."""

    def first_density(self, density: float) -> float:
        return max(density, self.initial_density)

    def update(
        self, model: nn.Module, mask: Mask, gradients: Mapping[str, Tensor], generator: torch.Generator,
        moment: UpdateProgress,
    ) -> Mask:  # fmt: skip
        density = cubic_density(self.first_density(moment.density), moment)
        fewer = pruned(model, mask, density, moment.pruning)
        return super().update(model, fewer, gradients, generator, moment)


@strategies.register("acdc")
@dataclass(frozen=True, kw_only=True)
class ACDC(Magnitude, ChangingMask):
    """Alternates phases in which all weights train and phases in which only the largest do; ends with one of these.

    Peste et al. 2021, "AC/DC: Alternating Compressed/DeCompressed Training of Deep Neural Networks" (NeurIPS),
    algorithm 1; code: IST-DASLab/ACDC, ``policies/``. The network is dense until the first update, and each compressed
    phase ranks all weights anew.
    """

    uses_gradients = False
    update_every: Step = hp(Step("5ep"))
    """Length of a phase; the last dense one is longer where the phases do not come out even."""
    update_until: float = hp(0.85, within="(0, 1]")
    """Share of the training, counted from its beginning, at which the last compressed phase begins."""

    def first_density(self, density: float) -> float:
        return 1.0

    def updates(self, start: int, end: int, iterations_per_epoch: int) -> list[int]:
        found = super().updates(start, end, iterations_per_epoch)
        return found if len(found) % 2 else [*found[:-2], found[-1]]  # each second one is dense, the last is not

    def update(
        self, model: nn.Module, mask: Mask, gradients: Mapping[str, Tensor], generator: torch.Generator,
        moment: UpdateProgress,
    ) -> Mask:  # fmt: skip
        dense = Mask({name: torch.ones_like(kept) for name, kept in mask.items()})
        return pruned(model, dense, moment.density, moment.pruning) if mask == dense else dense
