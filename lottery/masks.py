"""From a strategy to a mask on disk, and the report of what it keeps."""

import copy
from collections.abc import Collection, Mapping
from typing import Any

from torch import nn

from foundations import files
from foundations.errors import UsageError
from foundations.reporting import Reporter
from foundations.store import Store
from models import ImageShape
from pruning import (
    ChangingMask,
    ImportedMask,
    Mask,
    PruningHparams,
    Strategy,
    empty_layers,
    ignored_layers,
    left_dense,
    prune,
)
from pruning.compaction import compact
from pruning.connectivity import reach
from pruning.same_function import example_of
from pruning.weight_use import output_positions
from training.arithmetic import arithmetic
from training.trunk import Trunk


def sparsity_report(model: nn.Module, mask: Mask, shape: ImageShape, ignored: Collection[str] = ()) -> dict[str, Any]:
    """Return the content of ``sparsity_report.json`` for ``model`` under ``mask``.

    ``density`` is the fraction of the prunable weights that is kept, ``sparsity`` is one minus that, and
    ``compression`` one over it; as everywhere, they leave ``ignored`` layers out. ``effective_density`` counts of the
    kept weights only those on a path from input to output; a report lacks it where paths cannot be found (see
    :func:`pruning.connectivity.reach`), and ``has_path`` is then true. Multiply-adds are those of one image: each kept
    weight counts once for every position at which it is used, weights that are left dense included; the products of
    attention have no weights and are left out. ``left_dense`` has the parameters of two or more dimensions that are not
    prunable. ``compact`` has what is really computed with ``--compact``, for which whole channels are taken out; None
    if the model cannot be compacted.
    """
    positions = output_positions(model, shape)
    mask = mask.to("cpu")  # it is asked for many single numbers
    counted, size = mask.without(ignored), (shape.channels, shape.height, shape.width)
    found, left = reach(model, mask, size), left_dense(model)
    layers: list[dict[str, Any]] = [
        {
            "name": name,
            "shape": list(kept.shape),
            "total": kept.numel(),
            "kept": int(kept.sum()),
            **({} if found is None else {"effective": int(found.effective[name].sum())}),
            "density": int(kept.sum()) / kept.numel(),
            "ignored": name in ignored,
            "multiply_adds": int(kept.sum()) * positions[name],
        }
        for name, kept in mask.items()
    ]
    dense = sum(weight.numel() * positions[name] for name, weight in left.items())
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "density": counted.density,
        **({} if found is None else {"effective_density": found.effective.without(ignored).density}),
        "sparsity": 1 - counted.density,
        "compression": 1 / counted.density if counted.kept else None,
        "total": counted.total,
        "kept": counted.kept,
        "parameters": {"dense": parameters, "kept": parameters - mask.total + mask.kept},
        "left_dense": {name: weight.numel() for name, weight in left.items()},
        "multiply_adds": {
            "dense": dense + sum(kept.numel() * positions[name] for name, kept in mask.items()),
            "kept": dense + sum(layer["multiply_adds"] for layer in layers),
        },
        "compact": compact_size(model, mask, shape, positions),
        "empty_layers": empty_layers(mask),
        "has_path": found is None or found.output,
        "layers": layers,
    }


def compact_size(
    model: nn.Module, mask: Mask, shape: ImageShape, positions: Mapping[str, int]
) -> dict[str, int] | None:
    """Return parameters and multiply-adds of an image's forward pass of the compact network; None if there is none.

    Its weights are used as often as the full network's, at ``positions``.
    """
    masked = copy.deepcopy(model)
    mask.apply_(masked)
    try:
        small = compact(masked, mask, example=example_of(shape.channels, shape.height, shape.width)).model
    except UsageError:
        return None
    weights = dict(small.named_parameters())
    return {
        "parameters": sum(weight.numel() for weight in weights.values()),
        "multiply_adds": sum(weights[name].numel() * count for name, count in positions.items()),
    }


def training_cost(
    report: dict[str, Any], *, before_k: int, after_k: int, found_by: int = 0, subnetwork: int | None = None,
    trainings: int = 1,
) -> dict[str, int]:
    """Return the multiply-adds of a whole training, pre-training included, beside the dense training's.

    A step costs three forward passes an example: one forward, two backward (inputs and weights). What scoring costs
    is not counted; it is a few passes.

    Args:
        report: the sparsity report of the subnetwork.
        before_k: number of training examples seen up to k.
        after_k: number of training examples seen from there to the end.
        found_by: multiply-adds of other trainings that the mask was found by (the levels before, if the strategy
            scores at the end).
        subnetwork: multiply-adds from k to the end; by default those of the report's mask throughout.
        trainings: how often the subnetwork is trained from k to the end.
    """
    dense, kept = 3 * report["multiply_adds"]["dense"], 3 * report["multiply_adds"]["kept"]
    pretraining = dense * before_k
    subnetwork = trainings * kept * after_k if subnetwork is None else subnetwork
    return {
        "dense_training": dense * (before_k + after_k),
        "pretraining": pretraining,
        "subnetwork": subnetwork,
        "finding_the_mask": found_by,
        # A mask found at the end was found by trainings that hold the pre-training already.
        "total": (found_by or pretraining) + subnetwork,
    }


def trained_network(trunk: Trunk) -> nn.Module:
    """Return the full network at the end of its training, which it trains if need be."""
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
    """Prune ``model`` to ``density`` with the replicate's own batches and random numbers.

    Scores are computed in the arithmetic of the training (TF32 only if it was asked for), though never in bf16. The
    same trunk, network, strategy and density give the same mask, whoever asks.

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
    reporter.say(f"Pruning with {strategy.name} to {100 * density:.4g}% of the weights")
    say_left_dense(trunk, model)
    with arithmetic(trunk.desc.training, trunk.data.device):
        return prune(strategy, model, batches, pruning, density, generator, before, reporter)


def imported_mask(trunk: Trunk) -> Mask:
    if trunk.imported is None:
        raise UsageError("--pruning_strategy=imported: give the network with --imported=import_<hash>")
    return trunk.imported.mask(trunk.fresh().model)


def say_left_dense(trunk: Trunk, model: nn.Module) -> None:
    """Say, once for a training, which weights no strategy prunes."""
    left, said = left_dense(model), (trunk.desc, left_dense)
    if left and said not in trunk.context.reported:
        trunk.context.reported.add(said)
        count, names = sum(weight.numel() for weight in left.values()), ", ".join(left)
        trunk.context.reporter.say(f"{count:,} weights are not prunable and stay dense: {names}")


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
    trainings: int = 1,
) -> None:
    """Write ``sparsity_report.json`` and ``mask.safetensors`` of a subnetwork trained from one iteration to another.

    ``found_by`` are the multiply-adds of other trainings that the mask was found by, ``subnetwork`` those of its own
    where the mask is not the same all the time, and ``trainings`` says how often it is trained.
    """
    report = sparsity_report(model, mask, trunk.data.shape, ignored_layers(model, pruning.layers_to_ignore))
    before, after = trunk.examples_seen(start), trunk.examples_seen(end)
    cost = training_cost(
        report, before_k=before, after_k=after - before, found_by=found_by, subnetwork=subnetwork, trainings=trainings
    )
    if "effective_density" not in report:
        name = trunk.desc.model.model
        trunk.context.reporter.say(f"{name}: whether masks cut it cannot be told, as no path is found without one")
    here.write_json(files.SPARSITY_REPORT, report | {"training_multiply_adds": cost})
    mask.save(here / files.MASK)  # last: a mask on disk has its report


def look_for_collapse(here: Store, method: str, reporter: Reporter, *, allow: bool = False) -> None:
    """Warn of empty layers in the report that lies in ``here``.

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
