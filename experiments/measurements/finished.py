"""What a measurement looks at."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import nn

from foundations import files
from foundations.errors import UsageError
from foundations.steps import Step
from foundations.store import Store
from lottery import Level
from lottery.branch import LevelBranch, Ticket
from lottery.masks import trained_network
from pruning import Mask
from stability import AnalysisAtK
from stability.branch import Stability
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.segments import load_network
from training.trunk import Trunk


@dataclass(frozen=True, eq=False)
class Finished:
    """A training, level, branch or child that is done, or the children of an analysis.

    Nothing is read before it is asked for. Networks are in evaluation mode on the data's device, and the measurement's
    own: it may change them.

    Args:
        trunk: the dense training that it stands on: ``trunk.state_at(step)`` is the full network at a step,
            ``trunk.seeds`` the replicate's random numbers.
        k: the step at which it starts.
        training: how it is trained.
        read_mask, read_start, read_end: read what the properties return.
        level: its number in a lottery run, else 0.
        children: those of an analysis, each finished by itself; the analysis has no network at the end.
    """

    trunk: Trunk
    k: Step
    training: TrainingHparams
    read_mask: Callable[[], Mask]
    read_start: Callable[[], nn.Module]
    read_end: Callable[[], nn.Module]
    level: int = 0
    children: "tuple[Finished, ...]" = ()

    @property
    def data(self) -> TrainingData:
        """The data set: ``data.evaluation_batches("test")``, ``data.sizes``, ``data.labels``, ``data.class_names``."""
        return self.trunk.data

    @cached_property
    def mask(self) -> Mask:
        """The weights that it keeps at the end, all of them in a full network; on the data's device."""
        return self.read_mask().to(self.data.device)

    @cached_property
    def start(self) -> nn.Module:
        """The network at k, from which it is trained, its pruned weights zero."""
        return self.read_start().eval()

    @cached_property
    def end(self) -> nn.Module:
        """The network at the end."""
        return self.read_end().eval()

    def generator(self, purpose: str) -> torch.Generator:
        """Return random numbers of this replicate and level, the same each time, on the CPU."""
        return self.trunk.seeds.generator(f"measurement: {purpose}", self.level)


def finished_training(trunk: Trunk) -> Finished:
    def start() -> nn.Module:
        return trunk.fresh().model

    return Finished(
        trunk, Step.at(trunk.start, trunk.per_epoch), trunk.desc.training, lambda: Mask.ones(start()), start,
        lambda: trained_network(trunk),
    )  # fmt: skip


def finished_level(level: Level) -> Finished:
    def start() -> nn.Module:
        return masked(level.ticket()) if level.number else level.trunk.state_at(level.desc.k).model

    training = level.desc.train.training
    return Finished(level.trunk, level.desc.k, training, level.mask, start, level.trained, level.number)


def finished_branch(branch: LevelBranch) -> Finished:
    level, here = branch.level, branch.here

    def ticket() -> Ticket:
        return branch.branch.start(level.ticket())

    def mask() -> Mask:
        return mask_in(here) or ticket().mask

    whole = Finished(
        level.trunk, level.desc.k, level.desc.train.training, mask, lambda: masked(ticket()),
        lambda: network_in(here, level.trunk), level.number,
    )  # fmt: skip
    how = branch.branch
    return with_children(whole, here, how.children) if isinstance(how, Stability) else whole


def finished_analysis(run: AnalysisAtK) -> Finished:
    def mask() -> Mask:
        return run.mask() or Mask.ones(run.trunk.fresh().model)

    whole = Finished(
        run.trunk, run.k, run.desc.train.training, mask, lambda: run.children.start().model,
        lambda: network_in(run.here, run.trunk),
    )  # fmt: skip
    return with_children(whole, run.here, run.settings.children)


def with_children(whole: Finished, here: Store, count: int) -> Finished:
    """Return the same with the children that lie in ``here``; where masks change in training, each with its own."""
    stores = [here.sub(files.child(number)) for number in range(1, count + 1)]

    def child(store: Store) -> Finished:
        return replace(
            whole, read_mask=lambda: mask_in(store) or whole.read_mask(),
            read_end=lambda: network_in(store, whole.trunk),
        )  # fmt: skip

    return replace(whole, children=tuple(map(child, stores)))


def masked(ticket: Ticket) -> nn.Module:
    ticket.mask.apply_(ticket.state.model)
    return ticket.state.model


def mask_in(here: Store) -> Mask | None:
    return Mask.load(here / files.MASK) if here.has(files.MASK) else None


def network_in(here: Store, trunk: Trunk) -> nn.Module:
    """Return the network that was trained in a directory; ``UsageError`` if none was, as in that of an analysis."""
    result = here.result() if here.done else {}
    if "model" not in result:
        raise UsageError(f"{here.path} has no network at its end")
    model = trunk.fresh().model
    load_network(here, result["model"], model)
    return model
