"""Where the children start: the trunk at k, or somebody else's weights in its place."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from foundations import files
from foundations.errors import UsageError
from foundations.runner import store_of
from foundations.steps import Step
from foundations.store import Store
from stability.desc import StabilityDesc
from training.optimizers import make_optimizer
from training.segments import model_file, train_branch
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
            context, full = self.trunk.context, self._full_desc()
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
        state.model.load_state_dict(self.full_network_store(k).read_tensors(model_file(state, self.trunk.data)))
        return state.model

    def full_network_store(self, k: Step) -> Store:
        run = store_of(self._full_desc(), self.trunk.seeds.replicate, self.trunk.context)
        return run.sub(files.analysis(k)).sub(files.FULL_NETWORK)

    def _full_desc(self) -> StabilityDesc:
        return replace(self.desc, strategy=None, pruning=None, perturb_hyperparameters=0.0, reset_optimizer=False)


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


# A checkpoint's file ---------------------------------------------------------------------------------------------


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], str]:
    """Weights by name from a safetensors file or a plain state dict, and the first 12 hex digits of its sha256.

    A state dict may lie under the key ``state_dict`` or ``model`` of a larger checkpoint. No code in it is run.

    Raises:
        UsageError: the file is missing, unreadable, or holds something else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--checkpoint={path}: {error.strerror or error}") from error
    digest = hashlib.sha256(content).hexdigest()[:12]
    try:
        return load(content), digest
    except SafetensorError:
        pass
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise UsageError(f"--checkpoint={path}: neither safetensors nor a plain state dict") from error
    for key in ("state_dict", "model"):
        if isinstance(value, Mapping) and isinstance(value.get(key), Mapping):
            value = value[key]
    if not isinstance(value, Mapping) or not all(isinstance(tensor, Tensor) for tensor in value.values()):
        raise UsageError(f"--checkpoint={path}: expected a state dict, tensors by name")
    return dict(value), digest


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Puts the tensors into the model.

    BatchNorm's counters of batches (``num_batches_tracked``) may be missing.

    Raises:
        UsageError: names or shapes do not fit; all of them are listed.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    unknown = [name for name in tensors if name not in own]
    shapes = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    found = {"missing": missing, "unknown": unknown, "of another shape": shapes}
    if any(found.values()):
        lists = "; ".join(f"{what}: {', '.join(names)}" for what, names in found.items() if names)
        raise UsageError(f"--checkpoint does not fit --model: {lists}")
    model.load_state_dict(dict(tensors), strict=False)
