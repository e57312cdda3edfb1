"""Masks that change in training: their updates, their two files, and what the training has cost."""

from itertools import pairwise
from typing import Any

from torch import nn

from foundations import files
from foundations.errors import UsageError
from foundations.steps import Step
from foundations.store import Store
from lottery.masks import record_mask
from pruning import ChangingMask, Mask, PruningHparams, Strategy, ignored_layers, left_dense
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
        found_by=found_by, subnetwork=cost_of(rows, updates, trunk, model),
    )  # fmt: skip
    return updates.summary(here)


def cost_of(rows: list[dict[str, Any]], updates: MaskUpdates, trunk: Trunk, model: nn.Module) -> int:
    """Return the multiply-adds of the training: three forward passes an example, each under the mask of its time.

    An update that looks at the gradients of all weights takes a batch more, whose weight gradients are dense: with
    f_S and f_D for a forward pass under the mask and a dense one, 2 f_S + f_D an example. Of n steps between two
    updates that makes 3 f_S n + 2 f_S + f_D, the numerator of Evci et al. 2020 (appendix, FLOPs), there
    divided by n + 1 steps.
    """
    sizes = {name: weight.numel() * updates.positions.get(name, 0) for name, weight in model.named_parameters()}
    dense, left = sum(sizes.values()), sum(sizes[name] for name in left_dense(model))
    forward = [row["multiply_adds"] + left for row in rows]
    begins = [row["iteration"] for row in rows]
    seen = trunk.examples_seen
    steps: int = sum(
        3 * passes * (seen(last) - seen(first))
        for passes, (first, last) in zip(forward, pairwise([*begins, updates.end]), strict=True)
    )
    if not updates.strategy.uses_gradients:
        return steps
    looks = zip(forward, begins[1:], strict=False)  # each under the mask before the update
    gradients: int = sum((2 * passes + dense) * (seen(at + 1) - seen(at)) for passes, at in looks)
    return steps + gradients
