"""What a mask keeps: by layer and in all, in weights and in multiply-adds."""

from collections.abc import Collection
from typing import Any

from torch import nn

from foundations.errors import UsageError
from models import ImageShape
from models.cost import output_positions
from pruning import Mask, effective_mask, empty_layers, has_path, left_dense
from pruning.compaction import compact


def sparsity_report(model: nn.Module, mask: Mask, shape: ImageShape, ignored: Collection[str] = ()) -> dict[str, Any]:
    """The content of ``sparsity_report.json`` for ``model`` under ``mask``.

    ``density`` is the fraction of the prunable weights that is kept, ``sparsity`` is one minus that, and
    ``compression`` one over it; as everywhere, they leave ``ignored`` layers out. ``effective_density`` counts of the
    kept weights only those on a path from input to output; reports of older programs lack it. Multiply-adds
    are those of one image's forward pass through convolutions and linear maps: each kept weight counts once for
    every position at which it is used; the products of attention have no weights and are left out. ``left_dense`` has
    the parameters of two or more dimensions that no rule prunes. ``compact`` has what is really computed with
    ``--compact``, for which whole channels are taken out; None if the model's forward pass cannot be traced.
    """
    positions = output_positions(model, shape)
    mask = mask.to("cpu")  # it is asked for many single numbers
    counted, size = mask.without(ignored), (shape.channels, shape.height, shape.width)
    effective = effective_mask(model, mask, size)
    layers = [
        {
            "name": name,
            "shape": list(kept.shape),
            "total": kept.numel(),
            "kept": int(kept.sum()),
            "effective": int(effective[name].sum()),
            "density": int(kept.sum()) / kept.numel(),
            "ignored": name in ignored,
            "multiply_adds": int(kept.sum()) * positions[name],
        }
        for name, kept in mask.items()
    ]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "density": counted.density,
        "effective_density": effective.without(ignored).density,
        "sparsity": 1 - counted.density,
        "compression": 1 / counted.density if counted.kept else None,
        "total": counted.total,
        "kept": counted.kept,
        "parameters": {"dense": parameters, "kept": parameters - mask.total + mask.kept},
        "left_dense": {name: weight.numel() for name, weight in left_dense(model).items()},
        "multiply_adds": {
            "dense": sum(kept.numel() * positions[name] for name, kept in mask.items()),
            "kept": sum(layer["multiply_adds"] for layer in layers),
        },
        "compact": compact_size(model, mask, shape),
        "empty_layers": empty_layers(mask),
        "has_path": has_path(model, mask, size),
        "layers": layers,
    }


def compact_size(model: nn.Module, mask: Mask, shape: ImageShape) -> dict[str, int] | None:
    """Parameters of the compact network, and multiply-adds of one image's forward pass through it."""
    try:
        small = compact(model, mask).model
    except UsageError:
        return None
    weights = dict(small.named_parameters())
    positions = output_positions(small, shape)
    return {
        "parameters": sum(weight.numel() for weight in weights.values()),
        "multiply_adds": sum(weights[name].numel() * count for name, count in positions.items()),
    }


def training_cost(
    report: dict[str, Any], *, before_k: int, after_k: int, found_by: int = 0, subnetwork: int | None = None
) -> dict[str, int]:
    """Multiply-adds of a whole training, pre-training included, beside the dense training's.

    A step costs three forward passes an example: one forward, two backward (inputs and weights). What scoring costs
    is not counted; it is a few passes.

    Args:
        report: the sparsity report of the subnetwork.
        before_k: number of training examples seen up to k.
        after_k: number of training examples seen from there to the end.
        found_by: multiply-adds of other trainings that the mask was found by (the levels before, if the strategy
            scores at the end).
        subnetwork: multiply-adds from k to the end; by default those of the report's mask throughout.
    """
    dense, kept = 3 * report["multiply_adds"]["dense"], 3 * report["multiply_adds"]["kept"]
    pretraining = dense * before_k
    subnetwork = kept * after_k if subnetwork is None else subnetwork
    return {
        "dense_training": dense * (before_k + after_k),
        "pretraining": pretraining,
        "subnetwork": subnetwork,
        "finding_the_mask": found_by,
        # A mask found at the end was found by trainings that hold the pre-training already.
        "total": (found_by or pretraining) + subnetwork,
    }
