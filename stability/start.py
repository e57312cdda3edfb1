"""Where the children start: the trunk at k, or somebody else's weights in its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from foundations import files
from foundations.runner import store_of
from foundations.steps import Step
from foundations.store import Store
from stability.desc import StabilityDesc
from training.foreign import load_weights
from training.optimizers import make_optimizer
from training.segments import load_network, model_file, train_branch
from training.state import TrainState
from training.trunk import Trunk


class Start(Protocol):
    """The dense training that an analysis branches from."""

    def state_at(self, k: Step) -> TrainState:
        """The full network's state at ``k``."""

    def full_network_store(self, k: Step) -> Store:
        """Where the full network is trained."""

    def full_network_done(self, k: Step) -> bool:
        """Whether the full network is trained to the end."""

    def full_network(self, k: Step) -> dict[str, Any]:
        """Losses and accuracies of the full network, trained to the end; trains it if need be."""

    def trained(self, k: Step) -> nn.Module:
        """That network."""


@dataclass(frozen=True)
class TrunkStart:
    """The trunk at k. Its end is the full network, whatever k."""

    trunk: Trunk

    def state_at(self, k: Step) -> TrainState:
        return self.trunk.state_at(k)

    def full_network_store(self, k: Step) -> Store:
        return self.trunk.store

    def full_network_done(self, k: Step) -> bool:
        return self.trunk.store.done

    def full_network(self, k: Step) -> dict[str, Any]:
        return self.trunk.finish()

    def trained(self, k: Step) -> nn.Module:
        self.trunk.finish()
        return self.trunk.state_at(self.trunk.desc.training.training_steps).model


@dataclass(frozen=True)
class CheckpointStart:
    """Given weights as the network at k; the optimizer is fresh, since no state of it came with them.

    The full network to compare with is trained from there with the trunk's SGD noise. It belongs to the analysis of
    the full network, which shares it with those of all strategies.
    """

    trunk: Trunk
    desc: StabilityDesc
    tensors: Mapping[str, Tensor]

    def state_at(self, k: Step) -> TrainState:
        state = self.trunk.fresh()
        load_weights(state.model, self.tensors)
        state.iteration = self.trunk.iteration(k)
        return state

    def full_network_done(self, k: Step) -> bool:
        return self.full_network_store(k).done

    def full_network(self, k: Step) -> dict[str, Any]:
        here = self.full_network_store(k)
        if not here.done:
            context, full = self.trunk.context, self.desc.full_network
            run = store_of(full, self.trunk.seeds.replicate, context)
            with run.lock(context.reporter):
                self.trunk.begin(run, full)
            with here.lock(context.reporter):
                if here.done:  # by another process, meanwhile
                    return here.result()
                train_branch(here, self.state_at(k), self.trunk.data, self.trunk.desc.training, context)
        return here.result()

    def trained(self, k: Step) -> nn.Module:
        self.full_network(k)
        state = self.trunk.fresh()
        state.iteration = self.trunk.end
        load_network(self.full_network_store(k), model_file(state, self.trunk.data), state.model)
        return state.model

    def full_network_store(self, k: Step) -> Store:
        run = store_of(self.desc.full_network, self.trunk.seeds.replicate, self.trunk.context)
        return run.sub(files.analysis(k)).sub(files.FULL_NETWORK)


def start_of(desc: StabilityDesc, trunk: Trunk, checkpoint: Mapping[str, Tensor] | None) -> Start:
    """The trunk, or the checkpoint if there is one; one that does not fit the model raises ``UsageError``."""
    if checkpoint is None:
        return TrunkStart(trunk)
    start = CheckpointStart(trunk, desc, checkpoint)
    load_weights(trunk.fresh().model, checkpoint)
    return start


def fresh_optimizer(state: TrainState, trunk: Trunk) -> None:
    """Forgets the optimizer's state."""
    state.optimizer = make_optimizer(trunk.desc.training, state.model)
