"""SynFlow: pruning by synaptic flow, iterated."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from foundations.errors import UsageError
from foundations.hparams import hp
from pruning.batches import Batches
from pruning.flow import Negative, class_scores, flow_of
from pruning.methods.loss_gradients import Gradients, added, gradients
from pruning.prunable import prunable
from pruning.strategy import Strategy, say, strategies

INPUTS = ("ones", "image", "mean", "batch")
BATCHNORMS = ("eval", "scale", "identity")
SIGNS = ("absolute", "kept")


@strategies.register("synflow")
@dataclass(frozen=True, kw_only=True)
class SynFlow(Strategy):
    """Keeps the weights through which most flows. Score: |w * dR/dw|, R the sum of the network's outputs.

    Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow",
    algorithm 1, with R from equation 4. Two properties of the network that is scored matter:

    *Positivity.* With absolute weights, an input that is nowhere negative and no negative shift, no value
    inside the network is negative: every ReLU passes everything and no two paths cancel, so that a weight's
    score is the sum over all paths through it of the product of their weights. On such inputs the network is
    linear.

    *Conservation* (theorems 1 and 2). In a positively homogeneous network the w * dR/dw that enter a hidden
    unit, its bias's included, add up to those that leave it, and so to the same total over every cut of the
    network, with identity paths counted. Every layer then keeps weights as long as each iteration prunes less
    than the smallest layer's total score ("maximal critical compression").

    What the choices do to them:

    - The inputs: none is ever negative, since images enter as pixels in [0, 1]; normalized ones would be half
      negative. Both properties hold for all four. ``ones`` uses no data. Where the network is linear,
      ``batch`` gives the ranks that the average image of the batch would.
    - ``synflow_batchnorm=scale`` makes BatchNorm the factor |gamma| / sqrt(var + eps) without a shift: both
      properties hold, after training too. ``identity`` leaves it out: both hold, but what it has learned is
      ignored. ``eval`` takes it as it stands, with the absolute value of all it holds, the running mean
      included, as the authors' code does: both hold for a fresh one (mean 0, bias 0); after training the mean
      is subtracted and the bias added, so conservation is lost, and positivity wherever the mean is larger.
    - ``synflow_signs=kept`` scores the network with the signs it has: paths cancel and ReLUs block, so there
      is no positivity. Signed flow is conserved as before; its absolute values, the scores, are not.
      (Absolute values make up for the lack of data; with data they may go: Bolwerk 2021.)

    Scored in float64: the flow of VGG-16 at initialization is about 1e24, of ResNet-50 1e70, and float32 ends
    at 3e38.
    """

    dtype: ClassVar[torch.dtype | None] = torch.float64
    spoils_values_only: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, Any]] = {"k": "0ep", "pruning_fraction": 0.9, "pruning_iterations": 100}

    synflow_input: str = hp("ones", choices=INPUTS)
    """Input of the score, as pixels in [0, 1]: ones, one training image, the mean of all, or a batch of images."""

    synflow_batchnorm: str = hp("eval", choices=BATCHNORMS)
    """BatchNorm: as it stands but absolute (eval), as a pure factor (scale), or left out (identity)."""

    synflow_signs: str = hp("absolute", choices=SIGNS)
    """Whether all parameters are replaced by their absolute values, or keep their signs."""

    def score(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> dict[str, Tensor]:
        with torch.no_grad():
            factors = self.make_positive(model)
            for name, module in model.named_modules():
                if isinstance(module, _BatchNorm) and self.synflow_batchnorm != "eval":
                    drop_shift(name, module)
                    if self.synflow_batchnorm == "identity":
                        drop_factor(module)

        weights = prunable(model)
        total: Gradients | None = None
        for images in self.inputs(batches, generator):
            total = added(total, gradients(self.outputs(model, images).sum(), weights))
        assert total is not None, "there is at least one batch"
        # In place: every new set of tensors would cost 8 bytes a weight.
        return {name: g.mul_(factors[name]).abs_() for name, g in zip(weights, total, strict=True)}

    def make_positive(self, model: nn.Module) -> dict[str, Tensor]:
        """Change the values of ``model``; return what the derivatives are multiplied by, for each prunable weight."""
        if self.synflow_signs == "absolute":
            torch._foreach_abs_([value for value in model.state_dict().values() if value.is_floating_point()])
        return {name: weight.detach() for name, weight in prunable(model).items()}

    def outputs(self, model: nn.Module, images: Tensor) -> Tensor:
        return class_scores(model, images) if self.synflow_signs == "kept" else flow_of(model, images)

    def inputs(self, batches: Batches, generator: torch.Generator) -> list[Tensor]:
        """Return what flows in, as batches (N, C, H, W)."""
        if self.synflow_input == "ones":
            return [torch.ones_like(batches.image, memory_format=torch.contiguous_format)[None]]
        if self.synflow_input == "mean":
            return [batches.mean_image[None]]
        if self.synflow_input == "batch":
            return list(batches.pixels)
        images = [image for pixels in batches.pixels for image in pixels]
        return [images[int(torch.randint(len(images), (), generator=generator))][None]]

    def remarks(self, model: nn.Module, batches: Batches, generator: torch.Generator) -> list[str]:
        if self.synflow_signs == "kept":
            return []
        scale = self if self.synflow_batchnorm != "eval" else replace(self, synflow_batchnorm="scale")
        with contextlib.suppress(UsageError), Negative(model) as negative:  # BatchNorm may have no factor
            scale.score(model, batches, generator)
        if not (layers := negative.layers()):
            return []
        first = negative.heard[0][0]
        if not layers.get(first, True):
            raise UsageError(
                f"--pruning_strategy={self.name}: values below zero enter the first layer, {first}, although images "
                "are in [0, 1]: the network normalizes them itself. Prune it without that step, with "
                "--synflow_signs=kept, or by another strategy"
            )
        return [f"values below zero enter {say(layers)}: paths cancel there, so scores are no sums over paths"]


def drop_shift(name: str, norm: _BatchNorm) -> None:
    """Makes BatchNorm in eval mode the factor gamma / sqrt(var + eps)."""
    if norm.running_mean is None:
        raise UsageError(
            f"--synflow_batchnorm: layer {name!r} keeps no running statistics, so it is no factor; use eval"
        )
    norm.running_mean.zero_()
    if norm.bias is not None:
        norm.bias.zero_()


def drop_factor(norm: _BatchNorm) -> None:
    """Makes that factor one."""
    assert norm.running_var is not None
    norm.running_var.fill_(1 - norm.eps)
    if norm.weight is not None:
        norm.weight.fill_(1)


@strategies.register("adsynflow")
@dataclass(frozen=True, kw_only=True)
class AdSynFlow(SynFlow):
    """SynFlow at a step k at which the full network is stable to SGD noise, fed with an image of the data set.

    Bolwerk 2021: the same score as :class:`SynFlow`, on pre-trained weights and with the data set's average
    image (or one image) as input. k is the recipe's pre-training step, 30 epochs in the thesis's recipe. How
    BatchNorm is treated matters here, since it has been trained; see :class:`SynFlow`.
    """

    defaults: ClassVar[Mapping[str, Any]] = {**SynFlow.defaults, "k": None}

    synflow_input: str = hp("mean", choices=INPUTS)
    """Input of the score, as pixels in [0, 1]: ones, one training image, the mean of all, or a batch of images."""
