"""From a strategy to a mask on disk: which weights are scored, what is kept, and what is said about it."""

from torch import nn

from foundations import files
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.steps import Step
from foundations.store import Store
from lottery.sparsity import sparsity_report, training_cost
from pruning import (
    ChangingMask,
    ImportedMask,
    Mask,
    PruningHparams,
    Strategy,
    ignored_layers,
    left_dense,
    prune,
)
from training.arithmetic import arithmetic
from training.trunk import Trunk


def trunk_network(trunk: Trunk, pruning: PruningHparams, k: Step) -> nn.Module:
    """The full network whose weights are scored: that of step ``k``, or the trained one with ``score_at="end"``."""
    if pruning.score_at == "k":
        return trunk.state_at(k).model
    trunk.finish()
    return trunk.state_at(trunk.desc.training.training_steps).model


def find_mask(
    trunk: Trunk,
    strategy: Strategy,
    pruning: PruningHparams,
    model: nn.Module,
    density: float,
    level: int = 1,
    before: Mask | None = None,
) -> Mask:
    """Prunes ``model`` to ``density`` with the replicate's own batches and random numbers.

    Scores are computed in the arithmetic of the training (TF32 only if it was asked for), though never in bf16.

    The same trunk, network, strategy and density give the same mask, whoever asks.

    Args:
        trunk: gives the data, the seeds and the reporter.
        strategy: scores the weights.
        pruning: the number of batches, and how scores become a mask.
        model: the network that is scored; it is not changed.
        density: what is kept of the prunable weights.
        level: an index of the random numbers, so that a random strategy draws anew in each level.
        before: the mask to start from; everything if None.

    Raises:
        UsageError: the strategy is that of an imported mask, and the trunk has none.
    """
    if isinstance(strategy, ImportedMask):
        return imported_mask(trunk)
    batches = trunk.data.pruning_batches(
        pruning.pruning_batches,
        pruning.pruning_batch_size or trunk.desc.data.batch_size,
        trunk.seeds.generator("pruning batches"),
        pruning.pruning_balanced,
    )
    if isinstance(strategy, ChangingMask):
        density = strategy.first_density(density)
    generator = trunk.seeds.generator("pruning", level)
    reporter = trunk.context.reporter
    reporter.say(f"Pruning with {strategy.name} to {density:.4%} of the weights")
    say_left_dense(trunk, model)
    with arithmetic(trunk.desc.training, trunk.data.device):
        return prune(strategy, model, batches, pruning, density, generator, before, reporter)


def imported_mask(trunk: Trunk) -> Mask:
    """The mask of the network that the trunk has begun with; ``UsageError`` if there is none."""
    if trunk.imported is None:
        raise UsageError("--pruning_strategy=imported: give the network with --imported=import_<hash>")
    return trunk.imported.mask(trunk.fresh().model)


def say_left_dense(trunk: Trunk, model: nn.Module) -> None:
    """Names, once for a training, the weights that no strategy prunes."""
    left, said = left_dense(model), (trunk.desc, left_dense)
    if left and said not in trunk.context.reported:
        trunk.context.reported.add(said)
        count, names = sum(weight.numel() for weight in left.values()), ", ".join(left)
        trunk.context.reporter.say(f"{count:,} weights in neither convolutions nor linear layers stay dense: {names}")


def record_mask(
    here: Store,
    mask: Mask,
    model: nn.Module,
    trunk: Trunk,
    pruning: PruningHparams,
    *,
    start: int,
    end: int,
    found_by: int = 0,
    subnetwork: int | None = None,
) -> None:
    """Writes ``sparsity_report.json`` and ``mask.safetensors``.

    Args:
        here: the directory of the subnetwork.
        mask: what is kept.
        model: a network of the shape that is pruned.
        trunk: gives the images' shape and number.
        pruning: says which layers do not count.
        start: the iteration at which the training of the subnetwork begins.
        end: the iteration at which it ends.
        found_by: multiply-adds of other trainings that the mask was found by.
        subnetwork: multiply-adds of its training, where the mask is not the same all the time.
    """
    report = sparsity_report(model, mask, trunk.data.shape, ignored_layers(model, pruning.layers_to_ignore))
    before, after = trunk.examples_seen(start), trunk.examples_seen(end)
    cost = training_cost(report, before_k=before, after_k=after - before, found_by=found_by, subnetwork=subnetwork)
    here.write_json(files.SPARSITY_REPORT, report | {"training_multiply_adds": cost})
    mask.save(here / files.MASK)  # last: a mask on disk has its report


def look_for_collapse(here: Store, method: str, reporter: Reporter, *, allow: bool = False) -> None:
    """Warns of empty layers in the report that lies in ``here``.

    Args:
        here: the directory of the subnetwork.
        method: what has pruned it, for the message.
        reporter: is warned.
        allow: go on although no path is left.

    Raises:
        UsageError: if no path is left from input to output, unless that is allowed.
    """
    report = here.read_json(files.SPARSITY_REPORT)
    empty = ", ".join(report["empty_layers"])
    if not report["has_path"] and not allow:
        raise UsageError(
            f"{here.path.name}: {method} leaves no path from input to output "
            f"(empty: {empty or 'no layer'}); see {here / files.SPARSITY_REPORT}.\n"
            "Keep more weights, or train it all the same with --allow_collapse."
        )
    if empty:
        reporter.warn(f"{here.path.name}: {method} leaves no weight in {empty}")
