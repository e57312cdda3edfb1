"""Masks that change in training: their updates, their two files, and what the training has cost."""

from itertools import pairwise
from typing import Any

from foundations import files
from foundations.errors import UsageError
from foundations.steps import Step
from foundations.store import Store
from lottery.masks import record_mask
from pruning import ChangingMask, Mask, PruningHparams, Strategy, ignored_layers
from pruning.weight_use import output_positions
from training.mask_updates import MaskUpdates
from training.state import TrainState
from training.trunk import Trunk


def mask_updates(
    trunk: Trunk, strategy: Strategy | None, pruning: PruningHparams | None, density: float, level: int = 1,
    *, start: int, end: int,
) -> MaskUpdates | None:  # fmt: skip
    """Return the updates of the mask in a training from iteration ``start`` to ``end``; None if the mask stays."""
    if not isinstance(strategy, ChangingMask):
        return None
    assert pruning is not None, "there is a strategy"
    model = trunk.fresh().model
    return MaskUpdates(
        strategy=strategy, density=density, pruning=pruning, ignored=ignored_layers(model, pruning.layers_to_ignore),
        index=(level,), positions=output_positions(model, trunk.data.shape), data=trunk.data, start=start, end=end,
    )  # fmt: skip


def check_changing(strategy: Strategy | None, pruning: PruningHparams | None, trunk: Trunk, k: Step) -> None:
    """Raise ``UsageError`` for a mask that is to change in training and cannot."""
    if not isinstance(strategy, ChangingMask):
        return
    if pruning is not None and pruning.score_at == "end":
        raise UsageError(f"--score_at=end: --pruning_strategy={strategy.name} begins at k; leave the flag out")
    strategy.updates(trunk.iteration(k), trunk.end, trunk.per_epoch)


def first_mask(here: Store, mask: Mask) -> Mask:
    """Return the mask that the training in a directory begins with: ``mask``, unless that has changed in training."""
    return Mask.load(here / files.FIRST_MASK) if here.has(files.FIRST_MASK) else mask


def conclude_updates(
    here: Store, state: TrainState, updates: MaskUpdates, trunk: Trunk, *, found_by: int = 0
) -> dict[str, Any]:
    """Make the mask at the end of training that of the directory, with its report; keep the first one beside it.

    Returns what ``done.json`` says of the changes.
    """
    assert state.mask is not None, "it has been updated"
    model = trunk.fresh().model
    first_mask(here, Mask.load(here / files.MASK, model)).save(here / files.FIRST_MASK)
    rows = updates.rows(here)
    record_mask(
        here, state.mask, model, trunk, updates.pruning, start=updates.start, end=updates.end,
        found_by=found_by, subnetwork=cost_of(rows, updates.end, trunk),
    )  # fmt: skip
    return updates.summary(here)


def cost_of(rows: list[dict[str, Any]], end: int, trunk: Trunk) -> int:
    """Return the multiply-adds of the training: three forward passes an example, each under the mask of its time."""
    ends = [*(row["iteration"] for row in rows), end]
    examples = (trunk.examples_seen(last) - trunk.examples_seen(first) for first, last in pairwise(ends))
    return sum(3 * row["multiply_adds"] * seen for row, seen in zip(rows, examples, strict=True))
