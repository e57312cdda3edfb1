"""How good a network is right after pruning, and how steep its loss."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.measurements.finished import Finished
from experiments.measurements.measurement import Measurement, measurements
from foundations.hparams import hp
from pruning import Mask
from stability.interpolation import RECALCULATION_BATCH, batchnorms, recalculate
from training.data import TrainingData
from training.loop import evaluate


@measurements.register("after_pruning")
@dataclass(frozen=True, kw_only=True)
class AfterPruning(Measurement):
    """Test accuracy and loss at k, right after pruning.

    ``accuracy`` and ``loss`` are those of the network as it stands; with BatchNorm also ``recalculated_accuracy`` and
    ``recalculated_loss``, its statistics recalculated on training images.
    """

    after_pruning_examples: int = hp(10_000, within="[1, inf)")
    """Training images that BatchNorm's statistics are recalculated from."""

    def measure(self, finished: Finished) -> dict[str, float]:
        data, model = finished.data, finished.start
        numbers = evaluate(model, data.evaluation_batches("test"))
        if batchnorms(model):
            limit = self.after_pruning_examples
            recalculate(model, data.evaluation_batches("train", batch_size=RECALCULATION_BATCH, limit=limit))
            again = evaluate(model, data.evaluation_batches("test"))
            numbers |= {f"recalculated_{name}": value for name, value in again.items()}
        return numbers


@measurements.register("gradient_flow")
@dataclass(frozen=True, kw_only=True)
class GradientFlow(Measurement):
    """The squared norm of the loss's gradient with respect to all parameters but the pruned weights.

    It is how fast the loss falls by gradient descent (Wang et al. 2020, "Picking winning tickets before training by
    preserving gradient flow", arXiv 2002.07376; Evci et al. 2022, arXiv 2010.03533): ``start`` right after pruning,
    ``end`` of the trained network. The loss is the mean cross entropy of training images in evaluation mode.
    """

    gradient_flow_examples: int = hp(1000, within="[1, inf)")
    """Training images."""

    def measure(self, finished: Finished) -> dict[str, float]:
        limit, mask = self.gradient_flow_examples, finished.mask
        networks = {"start": finished.start, "end": finished.end}
        return {
            name: sum(float(one.double().pow(2).sum()) for one in gradient(model, mask, finished.data, limit))
            for name, model in networks.items()
        }  # fmt: skip


def gradient(model: nn.Module, mask: Mask, data: TrainingData, limit: int) -> list[Tensor]:
    """Return the gradient of the mean cross entropy for each trained parameter, zero where it is pruned."""
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    size = 0
    for inputs, labels in data.evaluation_batches("train", limit=limit):
        loss = F.cross_entropy(model(inputs).float(), labels, reduction="sum")
        found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True, materialize_grads=True)
        for name, one in zip(weights, found, strict=True):
            total[name] += one
        size += len(labels)
    return [one * mask[name] / size if name in mask else one / size for name, one in total.items()]
