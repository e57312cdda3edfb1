"""Updates of a mask that changes in training, and what is written down of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from foundations import files
from foundations.errors import UsageError
from foundations.formats import Row
from foundations.seeds import seed_global
from foundations.steps import Step
from foundations.store import Store
from pruning import ChangingMask, Mask, PruningHparams, UpdateProgress, prunable
from pruning.methods.loss_gradients import gradients
from pruning.weight_use import copied
from training.arithmetic import arithmetic, convert
from training.data import TrainingData
from training.hparams import TrainingHparams
from training.state import TrainState


@dataclass(frozen=True, eq=False)
class MaskUpdates:
    """The updates of one training, each a row of ``mask_updates.jsonl``; a first row is about the mask before them.

    A row holds ``step``, ``iteration``, ``density``, ``ever_active`` (the share of the weights that have been in a mask
    so far: in-time over-parameterization, Liu et al. 2021, arXiv 2102.02887), ``dropped`` and ``grown`` (numbers of
    weights) and ``multiply_adds`` (of one image's forward pass). Layers that pruning ignores count in the last alone.

    The training goes from iteration ``start`` to ``end``.
    """

    strategy: ChangingMask
    density: float
    """What the mask is to come to."""
    pruning: PruningHparams
    ignored: Collection[str]
    """The layers that stay as they are."""
    index: tuple[int, ...]
    """Tells the random numbers from those of other trainings of the replicate."""
    positions: Mapping[str, int]
    """How often each weight is used for one image; see ``pruning.weight_use.output_positions``."""
    data: TrainingData
    start: int
    end: int

    @property
    def iterations(self) -> list[int]:
        """The iterations after which there is an update; raises ``UsageError`` if there is none."""
        return self.strategy.updates(self.start, self.end, self.data.iterations_per_epoch)

    def rows(self, store: Store) -> list[Row]:
        return store.read_rows(files.MASK_UPDATES)

    def summary(self, store: Store) -> Row:
        """Return what ``done.json`` says: the share of the weights that were ever kept, and the number of updates."""
        rows = self.rows(store)
        return {"ever_active": rows[-1]["ever_active"], "mask_updates": len(rows) - 1}

    def begin(self, store: Store, state: TrainState) -> None:
        """Prepare the rows of a training that begins or goes on; ``UsageError`` if one that goes on lacks some."""
        before = [row for row in self.rows(store) if row["iteration"] <= state.iteration]
        if state.iteration == self.start:
            before = [self._row(state, dropped=0, grown=0)]
        wanted = {self.start, *(iteration for iteration in self.iterations if iteration <= state.iteration)}
        if {row["iteration"] for row in before} != wanted:
            raise UsageError(
                f"{store / files.MASK_UPDATES} lacks updates; only training again gives them.\n"
                f"Rename the directory {store.path} and run the same command again: it is trained again."
            )
        store.write_rows(files.MASK_UPDATES, before)

    def update(self, store: Store, hparams: TrainingHparams, state: TrainState) -> None:
        """Give the state, at one of the iterations, its next mask."""
        assert state.mask is not None, "the first mask is there"
        per_epoch = self.data.iterations_per_epoch
        first, last = self.strategy.first_iteration(self.start, per_epoch), self.iterations[-1]
        moment = UpdateProgress((state.iteration - first) / (last - first), self.density, self.pruning)
        seeds, child = state.noise.seeds, state.noise.child
        generator = seeds.generator("mask update", *self.index, *child, state.iteration)
        before, slopes = state.mask.to(self.data.device), next_gradients(state, hparams, self.data)
        found = self.strategy.update(state.model, before.without(self.ignored), slopes, generator, moment)
        mask = Mask({**before, **found})
        dropped = sum(int((before[name] & ~mask[name]).sum()) for name in mask)
        state.set_mask(mask)
        store.append_rows(files.MASK_UPDATES, [self._row(state, dropped, mask.kept - before.kept + dropped)])

    def _row(self, state: TrainState, dropped: int, grown: int) -> Row:
        assert state.mask is not None, "the first mask is there"
        assert state.ever_active is not None, "the first mask is there"
        return {
            "step": Step.at(state.iteration, self.data.iterations_per_epoch),
            "iteration": state.iteration,
            "density": state.mask.without(self.ignored).density,
            "ever_active": state.ever_active.without(self.ignored).density,
            "dropped": dropped,
            "grown": grown,
            "multiply_adds": sum(int(kept.sum()) * self.positions[name] for name, kept in state.mask.items()),
        }


def next_gradients(state: TrainState, hparams: TrainingHparams, data: TrainingData) -> dict[str, Tensor]:
    """Return dL/dw of all prunable weights, pruned ones too, on the batch that the next step will train on.

    They are a copy's, so that the state stays as it is (a forward pass moves BatchNorm's statistics). Those that the
    step before has left are no substitute: what a replayed CUDA graph computes lies elsewhere.
    """
    epoch, index = divmod(state.iteration, data.iterations_per_epoch)
    [batch] = data.batches(state.noise.epoch(epoch), index, index + 1)
    model = copied(state.model).train()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    with torch.random.fork_rng([data.device] if data.device.type == "cuda" else []), arithmetic(hparams, data.device):
        seed_global(state.noise.step(state.iteration), data.device)
        inputs, labels = data.fetch(batch)
        outputs = model(convert(inputs, state.memory_format))
        loss = F.cross_entropy(outputs, labels, label_smoothing=hparams.label_smoothing)
        weights = prunable(model)
        return dict(zip(weights, gradients(loss, weights), strict=True))
