"""Where the children start: the trunk at k, or somebody else's weights in its place."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from foundations import files
from foundations.errors import UsageError
from foundations.formats import digest
from foundations.pickles import decode_pickle
from foundations.runner import store_of
from foundations.steps import Step
from foundations.store import Store
from foundations.tensors import check_header
from stability.desc import StabilityDesc
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
        load_network(self.full_network_store(k), model_file(state, self.trunk.data), state.model)
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
    key = digest(content)[:12]
    try:
        check_header(content)
        return load(content), key
    except KeyError as error:
        raise UsageError(f"--checkpoint={path}: a tensor has the type {error}, which PyTorch does not have") from error
    except (SafetensorError, ValueError):
        pass
    try:
        value = decode_pickle(content)
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise UsageError(f"--checkpoint={path}: neither safetensors nor a plain state dict") from error
    for name in ("state_dict", "model"):
        if isinstance(value, Mapping) and isinstance(value.get(name), Mapping):
            value = value[name]
    if not isinstance(value, Mapping):
        raise UsageError(f"--checkpoint={path}: expected a state dict, tensors by name; found {type(value).__name__}")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            found = f"{name!r} is {type(tensor).__name__}"
            raise UsageError(f"--checkpoint={path}: expected a state dict, tensors by name; {found}")
    return dict(value), key


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Puts the tensors into the model, each as the type that it has there.

    BatchNorm's counters of batches (``num_batches_tracked``) may be missing.

    Raises:
        UsageError: names, shapes or types do not fit; all of them are listed.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    unknown = [name for name in tensors if name not in own]
    shapes = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    types = [
        f"{name} {tensor.dtype}"
        for name, tensor in tensors.items()
        if name in own and not fits(tensor, own[name])
    ]
    found = {"missing": missing, "unknown": unknown, "of another shape": shapes, "of another type": types}
    if any(found.values()):
        lists = "; ".join(f"{what}: {', '.join(names)}" for what, names in found.items() if names)
        raise UsageError(f"--checkpoint does not fit --model: {lists}")
    model.load_state_dict(dict(tensors), strict=False)


def fits(tensor: Tensor, own: Tensor) -> bool:
    """Whether a tensor is a plain one of numbers of the same sort, of whatever precision."""
    same_sort = tensor.is_floating_point() == own.is_floating_point() and not tensor.is_complex()
    return same_sort and tensor.layout == own.layout and not tensor.is_meta and not tensor.is_quantized
