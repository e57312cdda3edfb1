"""The curvature of the loss, by curvlinops."""

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from experiments.measurements.finished import Finished
from experiments.measurements.measurement import Measurement, measurements
from foundations.errors import UsageError
from foundations.hparams import hp
from pruning import Mask

SMALL = 64
"""Parameters up to which the whole matrix is computed."""


@measurements.register("hessian")
@dataclass(frozen=True, kw_only=True)
class Hessian(Measurement):
    """The largest eigenvalue and the trace of the loss's Hessian.

    The loss is the mean cross entropy of training images in evaluation mode, its Hessian that of all parameters but the
    pruned weights. ``largest`` is found by Lanczos' method to 1e-4 (``scipy.sparse.linalg.eigsh``), ``trace`` is
    estimated by Hutch++ (Meyer et al. 2021, arXiv 2010.09649). Computed in float64 by curvlinops (Dangel et al. 2025,
    arXiv 2501.19183).
    """

    hessian_at: str = hp("end", choices=("start", "end"))
    """The network: right after pruning (start), or trained (end)."""
    hessian_examples: int = hp(500, within="[1, inf)")
    """Training images."""
    hessian_products: int = hp(30, within="[3, inf)")
    """Products of the Hessian and a vector for the trace."""

    def check(self) -> None:
        if importlib.util.find_spec("curvlinops") is None:
            raise UsageError("--measure=hessian: needs the package curvlinops: pip install 'adsynflow[curvature]'")

    def measure(self, finished: Finished) -> dict[str, float]:
        batches = [
            (inputs.double(), labels)
            for inputs, labels in finished.data.evaluation_batches("train", limit=self.hessian_examples)
        ]
        model = (finished.start if self.hessian_at == "start" else finished.end).double()
        hessian = hessian_of(model, nn.CrossEntropyLoss(), batches, finished.mask)
        return spectrum(hessian, self.hessian_products, finished.generator("hessian"))


def hessian_of(model: nn.Module, loss: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], mask: Mask) -> Any:
    """Return the Hessian of the mean loss over ``batches`` as curvlinops' linear operator, pruned weights left out."""
    from curvlinops import HessianLinearOperator
    from curvlinops.submatrix import SubmatrixLinearOperator

    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    whole = HessianLinearOperator(model, loss, list(weights.values()), batches, check_deterministic=False)
    kept = [
        mask[name] if name in mask else torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()
    ]
    places = torch.cat([one.flatten() for one in kept]).nonzero().flatten().tolist()
    return SubmatrixLinearOperator(whole, places, places)


def spectrum(hessian: Any, products: int, generator: torch.Generator) -> dict[str, float]:
    """Return ``largest`` and ``trace`` of a symmetric linear operator of curvlinops; exact where it is small."""
    from curvlinops import hutchpp_trace
    from scipy.sparse.linalg import eigsh

    size = hessian.shape[0]
    if size <= max(SMALL, products):
        matrix = hessian @ torch.eye(size, device=hessian.device, dtype=hessian.dtype)
        return {"largest": float(torch.linalg.eigvalsh(matrix)[-1]), "trace": float(matrix.trace())}
    torch.manual_seed(generator.initial_seed())  # Hutch++ draws from PyTorch's own generator
    first = torch.randn(size, generator=generator, dtype=torch.float64).numpy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")  # of vmap, where a pooling is
        [largest] = eigsh(hessian.to_scipy(), k=1, which="LA", v0=first, tol=1e-4, return_eigenvectors=False)
        return {"largest": float(largest), "trace": float(hutchpp_trace(hessian, products - products % 3))}
