"""A trained subnetwork, read from its run, with what somebody else needs to use it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from experiments import stored
from experiments.directory import Part
from experiments.stored import StoredRun, options_for
from experiments.workspace import Workspace, train_of
from foundations import files
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.seeds import Seeds
from foundations.steps import Step
from foundations.store import Store
from models import ImageShape, ModelHparams, build
from pruning import Mask
from pruning.compaction import compact
from training.network import describe_network


@dataclass(frozen=True, eq=False)
class Subnetwork:
    """A network and its mask.

    Args:
        model: in evaluation mode, its weights masked; at its true size if it has been made compact.
        mask: of its weights, on the CPU.
        network: the entries of ``network.json``.
        run: the run that it comes from.
        part: the level, branch or training within it.
        is_compact: whether channels that cannot matter have been taken out.
    """

    model: nn.Module
    mask: Mask
    network: Mapping[str, Any]
    run: StoredRun
    part: Part
    is_compact: bool = False

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        channels, height, width = self.network["input_shape"]
        return channels, height, width

    def compacted(self) -> "Subnetwork":
        """The same function without the channels that cannot matter; ``UsageError`` if the network cannot be traced."""
        small = compact(self.model, self.mask)
        return replace(self, model=small.model.eval(), mask=small.mask, is_compact=True)


def find_subnetwork(path: Path) -> Subnetwork:
    """What a run's directory, or that of a level or branch in it, has come to.

    Of a lottery run without a level it is the last level that is done.

    Raises:
        UsageError: no run, nothing in it is done, or a plug-in is not loaded.
    """
    run, part = find_part(path)
    network = read_network(run)
    model = fresh_network(network)
    result = part.result()
    weights = part.store / result.get("model", files.model(Step(result["step"])))  # a trunk's is named by its step
    model.load_state_dict(Store(weights.parent).read_tensors(weights.name))
    mask = Mask.load(part.store / files.MASK) if part.store.has(files.MASK) else Mask.ones(model)
    mask.check(model)
    mask.apply_(model)
    return Subnetwork(model.eval(), mask, network, run, part)


def find_part(path: Path) -> tuple[StoredRun, Part]:
    """The run and the part of it that ``path`` names."""
    resolved = path.resolve()
    inside = [place for place in (resolved, *resolved.parents) if place.name.startswith(files.REPLICATE)]
    run = stored.open(inside[0] if inside else path)
    name = resolved.relative_to(run.path.resolve()).as_posix()
    done = {part.name: part for part in run.parts if part.done and part.marker == files.DONE}
    if name in done:
        return run, done[name]
    if name == "." and done:
        return run, [part for part in done.values() if "/" not in part.name][-1]
    raise UsageError(f"{path}: no trained network; valid: {', '.join(done) or 'none is done in this run'}")


def read_network(run: StoredRun) -> dict[str, Any]:
    """``network.json``; of a run that an older version has made, from its data set."""
    if run.store.has(files.NETWORK):
        return run.store.read_json(files.NETWORK)
    workspace = Workspace(options_for(run.path.parent.parent), Reporter())
    train = train_of(run.desc)
    return describe_network(train.model, workspace.data(train.data))


def fresh_network(network: Mapping[str, Any]) -> nn.Module:
    """The architecture that ``network.json`` describes, before any training."""
    channels, height, width = network["input_shape"]
    shape = ImageShape(channels, height, width, len(network["class_names"]))
    return build(ModelHparams.from_dict(network["model"]), shape, Seeds(0).generator("export"))
