"""How alike the children of an analysis are: in their features, in their answers, and class by class between them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from experiments.measurements.finished import Finished
from experiments.measurements.measurement import Measurement, measurements
from foundations.hparams import hp
from pruning import prunable
from stability.barrier import barrier
from stability.distances import disagreement, outputs
from stability.interpolation import Line, even_alphas
from training.data import TrainingData


def over_pairs(
    children: tuple[Finished, ...], compare: Callable[[Finished, Finished], dict[str, float]]
) -> dict[str, float]:
    """Return the mean of what two children are compared by, over all pairs."""
    found = [compare(one, other) for one, other in itertools.combinations(children, 2)]
    return {name: sum(one[name] for one in found) / len(found) for name in found[0]}


@measurements.register("disagreement")
@dataclass(frozen=True, kw_only=True)
class Disagreement(Measurement):
    """The share of test images that two children classify otherwise.

    ``share``, and ``of_possible``: over the largest share that their errors allow. Means over all pairs.
    """

    of_children: ClassVar[bool] = True

    def measure(self, finished: Finished) -> dict[str, float]:
        labels = finished.data.labels["test"]
        answers = {
            child: outputs(child.end, finished.data.evaluation_batches("test")).argmax(1)
            for child in finished.children
        }  # fmt: skip

        def compare(one: Finished, other: Finished) -> dict[str, float]:
            found = disagreement(answers[one], answers[other], labels)
            return {"share": found["disagreement"], "of_possible": found["classification_difference"]}

        return over_pairs(finished.children, compare)


@measurements.register("cka")
@dataclass(frozen=True, kw_only=True)
class CKA(Measurement):
    """Linear centered kernel alignment of two children's features: 1 if they are the same up to rotation and scale.

    Kornblith et al. 2019, arXiv 1905.00414: ``||Y'X||^2 / (||X'X|| ||Y'Y||)`` in Frobenius norms, X and Y
    the centered outputs of a prunable layer for test images, flattened. ``mean`` is that over all layers,
    ``layer.<weight>`` that of one; means over all pairs.
    """

    of_children: ClassVar[bool] = True
    cka_examples: int = hp(500, within="[2, inf)")
    """Test images."""

    def measure(self, finished: Finished) -> dict[str, float]:
        grams = {child: layer_grams(child.end, finished.data, self.cka_examples) for child in finished.children}

        def compare(one: Finished, other: Finished) -> dict[str, float]:
            layers = {name: alignment(gram, grams[other][name]) for name, gram in grams[one].items()}
            mean = sum(layers.values()) / len(layers)
            return {"mean": mean, **{f"layer.{name}": value for name, value in layers.items()}}

        return over_pairs(finished.children, compare)


@torch.no_grad()
def layer_grams(model: nn.Module, data: TrainingData, limit: int) -> dict[str, Tensor]:
    """Return the centered Gram matrix of each prunable layer's outputs for test images, (N, N) in float64."""
    modules = dict(model.named_modules())
    features: dict[str, list[Tensor]] = {name: [] for name in prunable(model)}

    def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        features[name].append((output if isinstance(output, Tensor) else output[0]).flatten(1).double())

    hooks = [modules[name.rpartition(".")[0]].register_forward_hook(partial(keep, name)) for name in features]
    for images, _ in data.evaluation_batches("test", limit=limit):
        model(images)
    for hook in hooks:
        hook.remove()
    return {name: gram(torch.cat(found)) for name, found in features.items() if found}


def gram(features: Tensor) -> Tensor:
    """Return ``X X'`` of features (N, F), each centered over the examples."""
    centered = features - features.mean(0)
    return centered @ centered.T


def alignment(one: Tensor, other: Tensor) -> float:
    """Return the linear CKA of two centered Gram matrices; 1 where both are zero, 0 where one is."""
    lengths = one.norm() * other.norm()
    return float((one * other).sum() / lengths) if lengths else float(one.norm() == other.norm())


@measurements.register("class_barriers")
@dataclass(frozen=True, kw_only=True)
class ClassBarriers(Measurement):
    """The error barrier between two children on the test images of one class.

    ``largest`` over the classes, ``mean`` over them, ``class.<name>`` of each; means over all pairs. Weights and
    BatchNorm's statistics are interpolated alike.
    """

    of_children: ClassVar[bool] = True
    class_barriers_alphas: int = hp(11, within="[3, inf)")
    """Networks on the line between two children, both included."""

    def measure(self, finished: Finished) -> dict[str, float]:
        data, alphas = finished.data, even_alphas(self.class_barriers_alphas)

        def compare(one: Finished, other: Finished) -> dict[str, float]:
            line = Line(finished.start, one.end.state_dict(), other.end.state_dict())
            errors = [class_errors(line.go_to(alpha), data) for alpha in alphas]
            found = {name: barrier([at[name] for at in errors]) or 0.0 for name in errors[0]}
            mean = sum(found.values()) / len(found)
            classes = {f"class.{name}": value for name, value in found.items()}
            return {"largest": max(found.values()), "mean": mean, **classes}

        return over_pairs(finished.children, compare)


def class_errors(model: nn.Module, data: TrainingData) -> dict[str, float]:
    """Return the share of wrong answers for the test images of each class that has some."""
    labels = data.labels["test"]
    wrong = outputs(model, data.evaluation_batches("test")).argmax(1) != labels
    counts = labels.bincount(minlength=len(data.class_names))
    misses = labels.bincount(weights=wrong.double(), minlength=len(data.class_names))
    return {
        name: float(missed) / int(count)
        for name, missed, count in zip(data.class_names, misses, counts, strict=True) if count
    }  # fmt: skip
