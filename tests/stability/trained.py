"""What children have become."""

import torch

from stability import AnalysisAtK


def tensors(runner: AnalysisAtK, child: int) -> dict[str, torch.Tensor]:
    """A child's, of four epochs."""
    return runner.here.sub(f"child_{child}").read_tensors("model_4ep0it.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
