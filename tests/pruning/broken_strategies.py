"""Strategies that break one law of pruning each."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pruning import Batches, Strategy, prunable

Scores = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Good(Strategy):
    """Keeps large weights; what the others are made from."""

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        return {name: weight.detach().abs() for name, weight in prunable(model).items()}


class Misspelled(Good):
    mode: ClassVar[Any] = "training"


class WholeNumbers(Good):
    dtype: ClassVar[Any] = torch.int64


class DefaultsOfNobody(Good):
    defaults: ClassVar[Mapping[str, Any]] = {"prunning_fraction": 0.5}


@dataclass(frozen=True, kw_only=True)
class HoldsASet(Good):
    layers: object = frozenset({"fc"})


class ForgetsALayer(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        scores = super().score(model, batches, generator)
        return {name: scores[name] for name in list(scores)[1:]}


class ScoresPerOutput(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        return {name: score.flatten(1).sum(1) for name, score in super().score(model, batches, generator).items()}


class Infinite(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        return {name: score / 0 for name, score in super().score(model, batches, generator).items()}


class TwoTypes(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        scores = super().score(model, batches, generator)
        first = next(iter(scores))
        return {**scores, first: scores[first].half()}


class MakesItsOwnImage(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        model(torch.ones(1, *batches.mean_image.shape))
        return super().score(model, batches, generator)


class DrawsFromNumpy(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        state = np.random.get_state()  # noqa: NPY002
        factor = np.random.random()  # noqa: NPY002
        np.random.set_state(state)  # noqa: NPY002
        return {name: factor * score for name, score in super().score(model, batches, generator).items()}


class Remembers(Good):
    calls: ClassVar[list[int]] = []

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        self.calls.append(1)
        return {name: score + len(self.calls) for name, score in super().score(model, batches, generator).items()}


class Seeds(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        random.seed(0)
        return super().score(model, batches, generator)


class SeedsNumpy(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        np.random.seed(0)  # noqa: NPY002
        return super().score(model, batches, generator)


class SetsTheDefaultType(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        torch.set_default_dtype(torch.float64)
        return super().score(model, batches, generator)


class PatchesAClass(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        nn.Linear.forward = lambda layer, x: 2 * x @ layer.weight.T  # type: ignore[method-assign]
        return super().score(model, batches, generator)


class SpoilsImages(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        for pixels in batches.pixels:
            pixels.round_()
        return super().score(model, batches, generator)


class NeedsFifteenWeights(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        scores = super().score(model, batches, generator)
        alive = torch.cat([score.flatten() for score in scores.values()])
        alive[alive > 0].topk(15)
        return scores


class DividesByTheLargest(Good):
    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        return {name: score / score.max() for name, score in super().score(model, batches, generator).items()}


class LeavesAHook(Good):
    spoils_values_only: ClassVar[bool] = True

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        next(model.children()).register_forward_hook(lambda *_: None)
        return super().score(model, batches, generator)


class LeavesGradients(Good):
    spoils_values_only: ClassVar[bool] = True

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        model(batches[0][0]).sum().backward()
        return super().score(model, batches, generator)


class ChangesTheMode(Good):
    spoils_values_only: ClassVar[bool] = True

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        model.train()
        return super().score(model, batches, generator)


class ReplacesTensors(Good):
    spoils_values_only: ClassVar[bool] = True

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.weight = nn.Parameter(module.weight.detach().clone())
        return super().score(model, batches, generator)


BROKEN: tuple[tuple[type[Strategy], str, str], ...] = (
    (Misspelled, "declares_what_there_is", "expected mode to be 'eval' or 'train'; got 'training'"),
    (DefaultsOfNobody, "declares_what_there_is", "unknown key 'prunning_fraction' (did you mean 'pruning_fraction'"),
    (HoldsASet, "fields_survive_json", "expected HoldsASet(layers=frozenset({'fc'})) back from"),
    (TwoTypes, "scores_fit_the_weights", "expected one type in all layers of the perceptron; got torch.float16, torc"),
    (MakesItsOwnImage, "scores_in_float64", "the perceptron in float64: RuntimeError: "),
    (DrawsFromNumpy, "same_generator_same_scores", "expected equal scores of the perceptron from two calls; others in"),
    (Remembers, "same_generator_same_scores", "expected equal scores of the perceptron from two calls; others in 1.w"),
    (Seeds, "leaves_the_process_alone", "changed: the state of random"),
    (SeedsNumpy, "leaves_the_process_alone", "changed: the state of numpy.random"),
    (SetsTheDefaultType, "leaves_the_process_alone", "changed: torch's default dtype"),
    (PatchesAClass, "leaves_the_model_alone", "expected the outputs that the perceptron had; got others"),
    (SpoilsImages, "leaves_the_batches_alone", "expected no change of those for the perceptron; changed: pixels 0"),
    (NeedsFifteenWeights, "prunes_to_any_density", "the perceptron pruned to density 0.02: RuntimeError: selected"),
    (DividesByTheLargest, "scores_empty_layers", "with 1.weight empty: the perceptron: --pruning_strategy=mine: th"),
    (LeavesAHook, "spoils_only_what_it_declares", "changed: 0._forward_hooks"),
    (LeavesGradients, "spoils_only_what_it_declares", "changed: 1.weight.grad, 1.bias.grad"),
    (ChangesTheMode, "spoils_only_what_it_declares", "changed: training, 0.training"),
    (ReplacesTensors, "spoils_only_what_it_declares", "changed: 1._parameters.weight"),
)
USELESS: tuple[tuple[type[Strategy], str, str], ...] = (
    (WholeNumbers, "declares_what_there_is", "expected dtype to be None or a floating-point type; got torch.int64"),
    (ForgetsALayer, "scores_fit_the_weights", "the score of layer 1.weight is missing"),
    (ScoresPerOutput, "scores_fit_the_weights", "1.weight has shape (8,); expected (8, 36)"),
    (Infinite, "scores_fit_the_weights", "the perceptron: --pruning_strategy=mine: the score of layer 1.weight is not"),
)
"""Those whose scores cannot be used for anything."""
