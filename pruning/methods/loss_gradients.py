"""Scores from derivatives of the training loss: SNIP, iterative SNIP, GraSP, FORCE."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from foundations.errors import UsageError, first_line
from foundations.hparams import hp
from pruning.batches import Batches
from pruning.flow import class_scores
from pruning.prunable import prunable
from pruning.strategy import Strategy, strategies

Gradients = tuple[Tensor, ...]


def gradients(output: Tensor, weights: Mapping[str, nn.Parameter], *, create_graph: bool = False) -> Gradients:
    """d output / d weight for every weight; zeros for one that the output does not depend on."""
    return torch.autograd.grad(output, list(weights.values()), create_graph=create_graph, materialize_grads=True)


def loss(model: nn.Module, inputs: Tensor, labels: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the mean cross entropy of one batch, with the logits divided by ``temperature``."""
    return cross_entropy(class_scores(model, inputs) / temperature, labels)


def weights_of_batches(batches: Sequence[tuple[Tensor, Tensor]]) -> list[float]:
    """Factors of the batches' mean losses by which every image counts alike: 1 for batches as large as the first."""
    return [len(labels) / len(batches[0][1]) for _, labels in batches]


def added(first: Gradients | None, second: Gradients, factor: float = 1.0) -> Gradients:
    """``first + factor * second`` of two sets of gradients; None stands for zeros."""
    if factor != 1:
        second = tuple(gradient * factor for gradient in second)
    return second if first is None else tuple(a + b for a, b in zip(first, second, strict=True))


@contextmanager
def second_derivatives(method: str) -> Iterator[None]:
    """Within it gradients of gradients are computed; ``UsageError`` where PyTorch cannot do that."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in ("derivative for", "automatic differentiation")):
            raise
        raise UsageError(
            f"--pruning_strategy={method} needs a second derivative that PyTorch lacks ({first_line(error)}); choose "
            "another strategy for this model"
        ) from error


@dataclass(frozen=True, kw_only=True)
class OfLoss(Strategy):
    """A strategy that differentiates the training loss, in the mode that the network is trained in or in the other."""

    mode: ClassVar[Literal["eval", "train"]] = "train"
    published: ClassVar[Mapping[str, Any]] = {"scoring_mode": "eval"}

    scoring_mode: str = hp("train", choices=("train", "eval"), absent="train")
    """Whether BatchNorm normalizes by the scoring batch (train) or, as in published code, by its running statistics
    (eval)."""

    @property
    def scored_in(self) -> str:
        return self.scoring_mode


@strategies.register("snip")
@dataclass(frozen=True, kw_only=True)
class SNIP(OfLoss):
    """Keeps the weights whose removal changes the loss most. Score: |sum over batches of dL/dc| at c = 1.

    Lee et al. 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", equations 4 to 6: c
    multiplies the weights, so dL/dc = w * dL/dw. As in the paper the absolute value is taken after summing
    over the batches. The paper divides by the sum of all scores, which changes no rank and is left out.
    """

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        return sensitivities(model, prunable(model), batches)


def sensitivities(model: nn.Module, weights: Mapping[str, Tensor], batches: Batches) -> dict[str, Tensor]:
    """|w * dL/dw|, L summed over the images; the derivative is the model's, w comes from ``weights``."""
    total = None
    for (inputs, labels), factor in zip(batches, weights_of_batches(batches), strict=True):
        total = added(total, gradients(loss(model, inputs, labels), prunable(model)), factor)
    assert total is not None, "there is at least one batch"
    return {name: (weight * g).abs() for (name, weight), g in zip(weights.items(), total, strict=True)}


@strategies.register("iterative_snip")
@dataclass(frozen=True, kw_only=True)
class IterativeSNIP(SNIP):
    """SNIP in many small steps, so that each scores the network that the one before has left.

    De Jorge et al. 2021, "Progressive Skeletonization: Trimming more fat from a network at initialization",
    where it is called Iterative SNIP. What is pruned stays pruned, unlike in their FORCE.

    Scored in float64: a hundred rounds let one pair of scores that float32 cannot tell apart change half of the mask,
    which would then be another one on another processor.
    """

    dtype: ClassVar[torch.dtype | None] = torch.float64
    defaults: ClassVar[Mapping[str, Any]] = {"k": "0ep", "pruning_iterations": 100}


@strategies.register("grasp")
@dataclass(frozen=True, kw_only=True)
class GraSP(OfLoss):
    """Keeps the weights whose removal would lower the gradient flow |g|^2 most. Score: w * (H g), signed.

    Wang et al. 2020, "Picking Winning Tickets Before Training by Preserving Gradient Flow", equation 8:
    taking out w changes |g|^2 by -2 w (H g) to first order. The paper's score is -w (H g), and it keeps the
    lowest; here, as for every strategy, the highest are kept, so the sign is turned. g is the gradient of the
    loss summed over the batches and H its Hessian; both passes see the same batches. Weights already pruned
    have no part in the flow.

    The score does not ask how large the flow becomes. Where few weights are pruned they are those that hold it down:
    at density 0.8 LeNet-300-100 on digits starts at a loss of 11 to 19 instead of 3 with an |g|^2 a hundred times as
    large, and a learning rate that suits the full network can be too large for it.
    """

    grasp_temperature: float = hp(200.0, within="(0, inf)")
    """What the logits are divided by before the loss, which evens out the softmax."""

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        weights = prunable(model)
        flow: Gradients | None = None
        factors = weights_of_batches(batches)
        for (inputs, labels), factor in zip(batches, factors, strict=True):
            flow = added(flow, gradients(self.loss(model, inputs, labels), weights), factor)
        assert flow is not None, "there is at least one batch"
        flow = tuple(g * (weight != 0) for g, weight in zip(flow, weights.values(), strict=True))

        curved: Gradients | None = None
        for (inputs, labels), factor in zip(batches, factors, strict=True):
            with second_derivatives(self.name):
                g = gradients(self.loss(model, inputs, labels), weights, create_graph=True)
                product = torch.stack([(a * b).sum() for a, b in zip(g, flow, strict=True)]).sum()
                curved = added(curved, gradients(product, weights), factor)
        assert curved is not None
        return {name: weight * h for (name, weight), h in zip(weights.items(), curved, strict=True)}

    def loss(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        return loss(model, inputs, labels, self.grasp_temperature)

@strategies.register("force")
@dataclass(frozen=True, kw_only=True)
class FORCE(IterativeSNIP):
    """Iterative SNIP that may take back what it has pruned. Score: |w * dL/dw|, the gradient at the masked network.

    De Jorge et al. 2021, "Progressive Skeletonization: Trimming more fat from a network at initialization", section 4
    (foresight connection sensitivity): every iteration masks the network as the one before has decided, and then ranks
    all weights anew, the pruned ones by the values that they had. All iterations see the same batches; the authors draw
    new ones.
    """

    revives: ClassVar[bool] = True

    def score_all(
        self, model: nn.Module, weights: Mapping[str, Tensor], batches: Batches, generator: torch.Generator
    ) -> dict[str, Tensor]:
        return sensitivities(model, weights, batches)
