"""The ablations: shuffled masks, random masks, weights drawn anew, signs transferred, scores inverted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from foundations.errors import UsageError
from foundations.hparams import hp
from foundations.steps import Step
from lottery.branch.base import Branch, branches
from lottery.desc import LotteryDesc
from lottery.level import Ticket
from pruning import Batches, ImportedMask, Mask, Strategy, prunable
from training.state import TrainState
from training.trunk import Trunk


def shuffled(mask: Mask, groups: Iterable[Sequence[str]], generator: torch.Generator) -> Mask:
    """Return the mask with its entries in random order within each group of layers."""
    entries = {name: entry.cpu() for name, entry in mask.items()}
    for group in groups:
        flat = torch.cat([entries[name].flatten() for name in group])
        flat = flat[torch.randperm(len(flat), generator=generator)]
        for name, part in zip(group, flat.split([entries[name].numel() for name in group]), strict=True):
            entries[name] = part.view(mask[name].shape)
    return Mask(entries)


@branches.register("shuffle")
@dataclass(frozen=True, kw_only=True)
class Shuffle(Branch):
    """Keeps as many weights of each layer, in other places: the mask is shuffled within layers.

    Frankle et al. 2021, "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?", section 5.
    """

    def start(self, ticket: Ticket) -> Ticket:
        layers = [[name] for name in ticket.mask]
        return replace(ticket, mask=shuffled(ticket.mask, layers, ticket.level.generator("shuffle")))


@branches.register("randomly_prune")
@dataclass(frozen=True, kw_only=True)
class RandomlyPrune(Branch):
    """Keeps as many weights, drawn at random: as many of each layer, or from all layers together."""

    scope: str = hp("layer", choices=("layer", "global"))
    """What is as dense as in the level: each layer, or only the whole network. Ignored layers stay as they are."""

    def start(self, ticket: Ticket) -> Ticket:
        names = [name for name in ticket.mask if name not in ticket.level.ignored]
        groups = [names] if self.scope == "global" else [[name] for name in names]
        generator = ticket.level.generator("randomly_prune")
        return replace(ticket, mask=shuffled(ticket.mask, groups, generator))


@branches.register("randomly_reinitialize")
@dataclass(frozen=True, kw_only=True)
class RandomlyReinitialize(Branch):
    """Keeps the mask and draws new initial weights; BatchNorm and the optimizer start anew too.

    Frankle and Carbin 2019, "The Lottery Ticket Hypothesis", section 2.
    """

    start_step: Step | None = hp(None)
    """Step of the schedule at which the new weights start; default: k, so that they train as long as the level."""

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        trunk.refuse_after_end("start_step", self.start_step or desc.k)

    def start(self, ticket: Ticket) -> Ticket:
        level, old = ticket.level, ticket.state
        data = level.trunk.data
        model = level.trunk.network(level.generator("randomly_reinitialize"))
        capture = level.trunk.context.cuda_graphs
        state = TrainState.fresh(model, ticket.training, old.noise, data.device, capture=capture)
        state.iteration = level.trunk.iteration(self.start_step or level.desc.k)
        return replace(ticket, state=state)


@branches.register("transfer_signs")
@dataclass(frozen=True, kw_only=True)
class TransferSigns(Branch):
    """Keeps the mask and the signs of the level's trained weights, on the magnitudes that the full network had before.

    ``|w_start| * sign(w_end * m)`` takes the place of the kept weights at the start (Oh et al. 2025, "Find A Winning
    Sign", ICLR); biases and all else are the full network's there.
    """

    start_step: Step | None = hp(None)
    """Step whose magnitudes the subnetwork starts with, and from which on it is trained; default: k."""
    batchnorm: str = hp("start", choices=("start", "trained"))
    """Whose BatchNorm the subnetwork starts with: the full network's at that step, or the level's trained one."""

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        trunk.check_step("start_step", self.start_step or desc.k)

    def trunk_steps(self, desc: LotteryDesc) -> tuple[Step, ...]:
        return (self.start_step or desc.k,)

    def start(self, ticket: Ticket) -> Ticket:
        level = ticket.level
        state, trained = level.state_at(self.start_step or level.desc.k), level.trained()
        weights = prunable(trained)
        for name, weight in prunable(state.model).items():
            weight.data.copy_(weight.data.abs() * weights[name].data.sign())
        for name, layer in state.model.named_modules():
            if self.batchnorm == "trained" and isinstance(layer, _BatchNorm):
                layer.load_state_dict(trained.get_submodule(name).state_dict())
        return replace(ticket, state=state)


@branches.register("invert_scores")
@dataclass(frozen=True, kw_only=True)
class InvertScores(Branch):
    """Keeps the weights with the lowest scores instead of the highest.

    Frankle et al. 2021, "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?", section 5.
    """

    def check(self, desc: LotteryDesc, trunk: Trunk) -> None:
        if isinstance(desc.strategy, ImportedMask):
            raise UsageError("invert_scores: an imported mask has no scores; give another --pruning_strategy")

    def start(self, ticket: Ticket) -> Ticket:
        return replace(ticket, mask=ticket.level.find_mask(inverted(ticket.level.desc.strategy)))


def inverted(strategy: Strategy) -> Strategy:
    """Return the strategy with its scores negated; 1 / score would not survive a 0."""
    original = type(strategy)

    def score_all(
        self: Strategy, model: nn.Module, weights: Mapping[str, Tensor], batches: Batches, generator: torch.Generator
    ) -> dict[str, Tensor]:
        return {name: -score for name, score in original.score_all(self, model, weights, batches, generator).items()}

    inverse: type[Strategy] = type(f"Inverted{original.__name__}", (original,), {"score_all": score_all})
    return inverse(**vars(strategy))
